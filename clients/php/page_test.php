<?php
// The guest book in sdks/php: who has it open gets a new entry, and who opens it later finds it there.
require __DIR__ . '/common.php';
require __DIR__ . '/subscriber.php';

$page = dirname(__DIR__, 2) . '/sdks/php/page.php';
$said = tempnam(sys_get_temp_dir(), 'cometql-page');
$server = proc_open(
    [PHP_BINARY, '-S', '127.0.0.1:0', $page],
    [1 => ['file', $said, 'a'], 2 => ['file', $said, 'a']],
    $pipes,
    null,
    ['COMETQL_HOST' => $host, 'COMETQL_PORT' => (string) $port, 'COMETQL_KEY' => $password, 'COMETQL_BROWSERS' => 'http://' . getenv('COMETQL_HTTP')],
);
register_shutdown_function(function () use ($server, $said) {
    proc_terminate($server);
    unlink($said);
});

/** Where it listens, once it says so. */
function address()
{
    global $said, $server;
    for ($tries = 0; $tries < 600; $tries++) {
        if (preg_match('~\((http://[^)]+)\) started~', file_get_contents($said), $found)) {
            return $found[1];
        }
        expect(proc_get_status($server)['running'], true, 'PHP runs');
        usleep(100000);
    }
    expect('nothing', 'a server', 'after a minute');
}

$url = address();
$heard = subscriber('web_guestbook');
$post = function (string $body) use ($url) {
    $post = ['method' => 'POST', 'header' => 'content-type: application/x-www-form-urlencoded', 'content' => $body];
    file_get_contents($url, false, stream_context_create(['http' => $post]));
    expect(substr($http_response_header[0], 9), '204 No Content', $body);
};
$entries = [
    ['name' => "Zoë </script>", 'text' => 'it\'s "here" & <b>now</b> \\ 🙂'],
    ['name' => "\u{FFFD}", 'text' => ''],
];
foreach ([http_build_query($entries[0]), 'name=%ff&text[]=x'] as $at => $body) {
    $post($body);
    expect($heard(), ['entry', $entries[$at]], 'what browsers get');
}
$kept = json_decode(file_get_contents("$url?entries"), true, 512, JSON_THROW_ON_ERROR);
expect(array_column($kept, 'data'), $entries, 'who opens it later');
expect($kept[1]['offset'] > $kept[0]['offset'], true, 'their order');
$html = file_get_contents($url);
expect(substr_count($html, '</script>'), 1, 'ends of scripts');
expect(str_contains($html, json_encode('http://' . getenv('COMETQL_HTTP'))), true, 'the page has the address');
