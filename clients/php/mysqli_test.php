<?php
// mysqli: escaped text, prepared statements with long data, multi_query, change_user, errors, wrong key.
require __DIR__ . '/common.php';
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);

function open($password)
{
    global $host, $port, $ca;
    $link = mysqli_init();
    if ($ca) {
        $link->ssl_set(null, null, $ca, null, null);
        $link->options(MYSQLI_OPT_SSL_VERIFY_SERVER_CERT, false);
    }
    $flags = $ca ? MYSQLI_CLIENT_SSL | MYSQLI_CLIENT_SSL_DONT_VERIFY_SERVER_CERT : 0;
    $link->real_connect($host, 'root', $password, 'CometQL_v1', $port, null, $flags);
    return $link;
}

$link = open($password);
$link->set_charset('utf8mb4');
$link->query("INSERT INTO pipes_settings (name, length) VALUES ('$channel', 90)");
foreach ($cases as $case) {
    $text = $link->real_escape_string($case);
    $link->query("INSERT INTO pipes_messages (name, event, message) VALUES ('$channel', 'text', '$text')");
}
$statement = $link->prepare('INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)');
$event = 'prepared';
$statement->bind_param('sss', $channel, $event, $message);
foreach ($cases as $message) {
    $statement->execute();
}
$event = 'long';
$part = null;
$statement->bind_param('ssb', $channel, $event, $part);
foreach ($cases as $case) {
    foreach (str_split($case, 100000) as $piece) {
        $statement->send_long_data(2, $piece);
    }
    $statement->execute();
    $statement->reset();
}
$statement->close();
$select = $link->prepare('SELECT event, message FROM pipes_messages WHERE name = ?');
$select->bind_param('s', $channel);
$select->execute();
expect_rows($select->get_result()->fetch_all(), ['text', 'prepared', 'long']);
$select->close();

$code = fn($error) => $error->getCode();
expect_code(fn() => $link->query('SELECT * FROM no_such_table'), $code, 15, 'unknown table');
expect_code(fn() => $link->query('SELEC 1'), $code, 3, 'syntax');
expect($link->multi_query('SELECT 1; SELECT 2'), true, 'multi_query');
expect($link->store_result()->fetch_row(), ['1'], 'the first result');
expect($link->next_result(), true, 'a second result');
expect($link->store_result()->fetch_row(), ['2'], 'the second result');
expect($link->select_db('CometQL_v1'), true, 'select_db');
expect($link->change_user('root', $password, 'CometQL_v1'), true, 'change_user');
expect($link->query('SELECT 1 + 1')->fetch_row()[0], '2', 'the connection goes on');
$link->close();
expect_code(fn() => open('wrong'), $code, 16, 'wrong key');
echo "ways: text prepared long\n";
