<?php
// PDO with emulated and with native prepared statements, a transaction, errors, wrong key.
require __DIR__ . '/common.php';

function open($password, $emulated)
{
    global $host, $port, $ca;
    $options = [PDO::ATTR_EMULATE_PREPARES => $emulated];
    if ($ca) {
        $options[PDO::MYSQL_ATTR_SSL_CA] = $ca;
        $options[PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT] = false;
    }
    return new PDO("mysql:host=$host;port=$port;dbname=CometQL_v1;charset=utf8mb4", 'root', $password, $options);
}

$ways = ['emulated' => true, 'native' => false];
foreach ($ways as $way => $emulated) {
    $pdo = open($password, $emulated);
    $pdo->prepare('INSERT INTO pipes_settings (name, length) VALUES (:name, 90)')->execute(['name' => $channel]);
    $insert = $pdo->prepare('INSERT INTO pipes_messages (name, event, message) VALUES (:name, :event, :message)');
    $pdo->beginTransaction();
    foreach ($cases as $case) {
        $insert->execute(['name' => $channel, 'event' => $way, 'message' => $case]);
    }
    $pdo->commit();
    $code = fn($error) => $error->errorInfo[1];
    expect_code(fn() => $pdo->query('SELECT * FROM no_such_table'), $code, 15, 'unknown table');
    expect_code(fn() => $pdo->query('SELEC 1'), $code, 3, 'syntax');
}
$select = $pdo->prepare('SELECT event, message FROM pipes_messages WHERE name = ?');
$select->execute([$channel]);
expect_rows($select->fetchAll(PDO::FETCH_NUM), array_keys($ways));
expect_code(fn() => open('wrong', true), fn($error) => $error->getCode(), 16, 'wrong key');
echo "ways: emulated native\n";
