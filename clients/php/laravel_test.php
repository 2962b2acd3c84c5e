<?php
// Laravel's database layer and broadcasting, from Debian's packages, with the files that the documentation gives to copy.
require '/usr/share/php/Illuminate/Database/autoload.php';
require '/usr/share/php/Illuminate/Broadcasting/autoload.php';
require __DIR__ . '/subscriber.php';

use App\Broadcasting\CometqlBroadcaster;
use Illuminate\Database\Capsule\Manager;

$files = dirname(__DIR__, 2) . '/sdks/php/laravel';
require "$files/CometqlBroadcaster.php";
$_ENV = ['COMETQL_HOST' => getenv('COMETQL_HOST'), 'COMETQL_PORT' => getenv('COMETQL_PORT'), 'COMETQL_KEY' => getenv('COMETQL_PASSWORD')];
$manager = new Manager();
$manager->addConnection(require "$files/database.php", 'cometql');
$database = $manager->getConnection('cometql');
require __DIR__ . '/common.php';
// This version of Laravel is older than this version of PHP.
error_reporting(E_ALL & ~E_DEPRECATED);

$database->table('pipes_settings')->insert(['name' => $channel, 'length' => 90]);
foreach ($cases as $case) {
    $database->table('pipes_messages')->insert(['name' => $channel, 'event' => 'table', 'message' => $case]);
}
$row = fn($case) => ['name' => $channel, 'event' => 'rows', 'message' => $case];
$database->table('pipes_messages')->insert(array_map($row, $cases));
$rows = $database->table('pipes_messages')->where('name', $channel)->get(['event', 'message']);
expect_rows($rows->map(fn($row) => [$row->event, $row->message])->all(), ['table', 'rows']);

$heard = subscriber('web_orders-7');
$broadcaster = new CometqlBroadcaster($database);
$payload = ['order' => ['id' => 7, 'note' => "it's \"ready\" 🙂"], 'socket' => '1.2'];
$broadcaster->broadcast(['orders.7', 'private-orders.7'], 'App\Events\OrderShipped', $payload);
expect($heard(), ['OrderShipped', ['order' => $payload['order']]], 'what browsers get');
$broadcaster->broadcast(['orders.7'], 'order.shipped');
expect($heard(), ['order-shipped', []], 'an event without data');
expect(CometqlBroadcaster::channelName('presence-office.1'), 'track_office-1', 'a presence channel');

$database->table('users_auth')->insert(['id' => 7, 'hash' => 'h7']);
expect($database->table('users_auth')->where('id', 7)->value('hash'), 'h7', 'the hash');
expect($database->table('users_in_pipes')->where('name', 'web_orders-7')->count(), 1, 'who listens');
expect_code(
    fn() => $database->table('pipes_messages')->insert(['name' => 'x', 'event' => '', 'message' => '']),
    fn($error) => $error->errorInfo[1],
    17,
    'a name that is too short',
);
echo "ways: table rows\n";
