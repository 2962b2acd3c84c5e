<?php
// Laravel's broadcast() over CometQL. What to register is in the documentation: docs-site/sdks/php.md.

namespace App\Broadcasting;

use Illuminate\Broadcasting\Broadcasters\Broadcaster;
use Illuminate\Database\ConnectionInterface;
use Illuminate\Support\Str;

class CometqlBroadcaster extends Broadcaster
{
    public function __construct(private ConnectionInterface $cometql)
    {
    }

    public function broadcast(array $channels, $event, array $payload = [])
    {
        unset($payload['socket']); // CometQL tells the sender as it tells everybody.
        $message = json_encode((object) $payload, JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);
        // With an id, a statement that Laravel repeats after a lost connection is not sent twice.
        $row = fn($channel) => [
            'id' => (string) Str::uuid(),
            'name' => self::channelName((string) $channel),
            'event' => self::eventName($event),
            'message' => $message,
        ];
        $this->cometql->table('pipes_messages')->insert(array_map($row, $channels));
    }

    /** `orders.7` is `web_orders-7`, a private channel `private_orders-7`, a presence channel `track_orders-7`. */
    public static function channelName(string $name): string
    {
        if (str_starts_with($name, 'private-encrypted-')) {
            throw new \LogicException('CometQL has no encrypted channels: whoever may subscribe reads what is sent');
        }
        $kinds = ['private-' => 'private_', 'presence-' => 'track_', '' => 'web_'];
        foreach ($kinds as $theirs => $ours) {
            if (str_starts_with($name, $theirs)) {
                return $ours . strtr(substr($name, strlen($theirs)), '.', '-');
            }
        }
    }

    /** `App\Events\OrderShipped` is `OrderShipped`, `order.shipped` is `order-shipped`. */
    public static function eventName(string $name): string
    {
        return strtr(class_basename($name), '.', '-');
    }

    // Browsers log in to CometQL themselves, with a token or the hash in users_auth: nothing asks these.
    public function auth($request)
    {
        throw new \LogicException('browsers log in to CometQL, not here');
    }

    public function validAuthenticationResponse($request, $result)
    {
        return $this->auth($request);
    }
}
