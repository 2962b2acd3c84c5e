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
    $field = fn(string $name) => filter_input(INPUT_POST, $name) ?: '';
    // What is no UTF-8 becomes "\u{FFFD}": it is a guest's fault, and costs the others nothing.
    $entry = json_encode(['name' => $field('name'), 'text' => $field('text')], JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE);
    $cometql->execute_query('INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)', [CHANNEL, 'entry', $entry]);
    http_response_code(204); // The browser stays on the page, and gets the entry as all others do.
    exit;
}

if (isset($_GET['entries'])) {
    $kept = $cometql->execute_query('SELECT `offset`, message FROM pipes_messages WHERE name = ?', [CHANNEL]);
    $entry = fn(array $row) => ['offset' => (int) $row[0], 'data' => json_decode($row[1])];
    header('content-type: application/json');
    exit(json_encode(array_map($entry, $kept->fetch_all()), JSON_THROW_ON_ERROR));
}

// Nothing in it ends the script.
$server = json_encode($setting('COMETQL_BROWSERS', 'http://127.0.0.1:8087'), JSON_HEX_TAG | JSON_HEX_AMP);
?>
<!doctype html>
<meta charset="utf-8">
<title>Guest book</title>
<form method="post">
  <input name="name" placeholder="Your name" required> <input name="text" placeholder="Your entry" required> <button>Send</button>
</form>
<ul></ul>
<script>
  const shown = new Set();
  const show = ({ offset, data }) => {
    if (!data || shown.has(offset)) return;
    shown.add(offset);
    const line = document.createElement('li');
    line.textContent = `${data.name}: ${data.text}`;
    document.querySelector('ul').prepend(line);
  };
  // The browser connects again by itself, and says where it was.
  const events = new EventSource(<?= $server ?> + '/sse?v=1&channels=<?= CHANNEL ?>');
  events.onmessage = async (event) => {
    const message = JSON.parse(event.data);
    if (message.push === 'publication') show(message);
    // At the beginning, and when more was missed than the server keeps.
    if (message.subscribed?.recovered === false) (await (await fetch('?entries')).json()).forEach(show);
  };
</script>
