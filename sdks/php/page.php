<?php
// A guest book without a database of its own: CometQL keeps the entries and tells all browsers that have the page open.
// cometql serve --password YOUR_KEY; php -S 127.0.0.1:8000 page.php

const CHANNEL = 'web_guestbook';
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$setting = fn(string $name, string $default) => getenv($name) ?: $default;
$cometql = new mysqli(
    'p:' . $setting('COMETQL_HOST', '127.0.0.1'), // p: = the connection stays open for the next request
    'root',
    $setting('COMETQL_KEY', 'YOUR_KEY'),
    'CometQL_v1',
    (int) $setting('COMETQL_PORT', '3307'),
);

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    if (!$cometql->execute_query('SELECT length FROM pipes_settings WHERE name = ?', [CHANNEL])->num_rows) {
        $cometql->execute_query('INSERT INTO pipes_settings (name, length) VALUES (?, 50)', [CHANNEL]);
    }
    $entry = json_encode(['name' => $_POST['name'] ?? '', 'text' => $_POST['text'] ?? '']);
    $cometql->execute_query('INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)', [CHANNEL, 'entry', $entry]);
    http_response_code(204); // The browser stays on the page, and gets the entry as all others do.
    exit;
}

$kept = $cometql->execute_query('SELECT message FROM pipes_messages WHERE name = ?', [CHANNEL]);
$safe = JSON_HEX_TAG | JSON_HEX_AMP; // Nothing in it ends the script.
$entries = json_encode(array_map('json_decode', array_column($kept->fetch_all(), 0)), $safe);
$server = json_encode($setting('COMETQL_BROWSERS', 'ws://127.0.0.1:8087'), $safe);
?>
<!doctype html>
<meta charset="utf-8">
<title>Guest book</title>
<form method="post">
  <input name="name" placeholder="Your name" required> <input name="text" placeholder="Your entry" required> <button>Send</button>
</form>
<ul></ul>
<script>
  const show = ({ name, text }) => {
    const line = document.createElement('li');
    line.textContent = `${name}: ${text}`;
    document.querySelector('ul').prepend(line);
  };
  <?= $entries ?>.forEach(show);
  const socket = new WebSocket(<?= $server ?> + '/connect?v=1');
  socket.onopen = () => socket.send(JSON.stringify({ id: 1, subscribe: '<?= CHANNEL ?>' }));
  socket.onmessage = (frame) => {
    const message = JSON.parse(frame.data);
    if (message.push === 'publication') show(message.data);
  };
</script>
