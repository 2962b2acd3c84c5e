<?php
// A browser without WebSocket: a stream of server-sent events, read one publication at a time.

/** Subscribes, and returns what gives the next publication as [event, data]. */
function subscriber($channel)
{
    $stream = stream_socket_client('tcp://' . getenv('COMETQL_HTTP'), $code, $why, 30);
    // Without chunks: HTTP/1.0 ends a body with the connection.
    fwrite($stream, "GET /sse?v=1&channels=$channel HTTP/1.0\r\nhost: test\r\n\r\n");
    stream_set_timeout($stream, 60);
    $next = function () use ($stream) {
        while (($line = fgets($stream)) !== false) {
            if (str_starts_with($line, 'data: ')) {
                return json_decode(substr($line, 6), true, 512, JSON_THROW_ON_ERROR);
            }
        }
        fwrite(STDERR, "nothing came to the subscriber\n");
        exit(1);
    };
    while (!isset($next()['subscribed'])) {
    }
    return function () use ($next) {
        do {
            $push = $next();
        } while (($push['push'] ?? '') !== 'publication');
        return [$push['event'] ?? '', $push['data']];
    };
}
