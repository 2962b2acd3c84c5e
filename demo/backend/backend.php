<?php
// The demos' backend. Writes to its own database, then tells CometQL with any MySQL client; if that fails, neither is done.

const PUBLISH = 'INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)';

function comment(PDO $own, mysqli $cometql, array $form): array
{
    $own->prepare('INSERT INTO comments (name, text) VALUES (?, ?)')->execute([$form['name'], $form['text']]);
    $message = json_encode(['name' => $form['name'], 'text' => $form['text']]);
    $cometql->execute_query(PUBLISH, ['comments_demo', 'comment', $message]);
    return [];
}

function ticket(PDO $own, mysqli $cometql, array $form): array
{
    $own->exec('INSERT INTO tickets DEFAULT VALUES');
    $cometql->execute_query(PUBLISH, ['counters_demo', 'tickets', $own->lastInsertId()]);
    return [];
}

function login(PDO $own, mysqli $cometql, array $form): array // A real site asks for a password before.
{
    $user = (int) $form['user'];
    $own->prepare('INSERT OR IGNORE INTO logins (user, hash) VALUES (?, ?)')->execute([$user, bin2hex(random_bytes(16))]);
    $secret = $own->query("SELECT hash FROM logins WHERE user = $user")->fetchColumn();
    $cometql->execute_query('INSERT INTO users_auth (id, hash) VALUES (?, ?)', [$user, $secret]);
    return ['user' => $user, 'hash' => $secret];
}

function letter(PDO $own, mysqli $cometql, array $form): array
{
    $known = $own->prepare('SELECT 1 FROM logins WHERE user = ? AND hash = ?');
    $known->execute([(int) $form['user'], $form['hash']]);
    $known->fetchColumn() ?: throw new RuntimeException('not logged in');
    $own->prepare('INSERT INTO letters (sender, recipient, text) VALUES (?, ?, ?)')
        ->execute([(int) $form['user'], (int) $form['to'], $form['text']]);
    $message = json_encode(['from' => (int) $form['user'], 'text' => $form['text']]);
    $cometql->execute_query("INSERT INTO users_messages (id, event, message) VALUES (?, 'letter', ?)", [(int) $form['to'], $message]);
    return [];
}

header('Content-Type: application/json');
header('Access-Control-Allow-Origin: *'); // The demos' pages are served by CometQL itself.
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
try {
    $own = new PDO('sqlite:' . getenv('DATABASE'));
    $own->exec('
        CREATE TABLE IF NOT EXISTS comments (id INTEGER PRIMARY KEY, name, text);
        CREATE TABLE IF NOT EXISTS tickets (id INTEGER PRIMARY KEY);
        CREATE TABLE IF NOT EXISTS logins (user INTEGER PRIMARY KEY, hash);
        CREATE TABLE IF NOT EXISTS letters (id INTEGER PRIMARY KEY, sender, recipient, text)');
    $cometql = new mysqli(getenv('COMETQL_HOST'), 'root', getenv('COMETQL_PASSWORD'), 'CometQL_v1', (int) getenv('COMETQL_PORT'));
    $action = match ($_SERVER['REQUEST_URI']) {
        '/comment' => comment(...), '/ticket' => ticket(...), '/login' => login(...), '/letter' => letter(...),
    };
    $own->beginTransaction();
    $answer = $action($own, $cometql, $_POST);
    $own->commit();
} catch (Throwable $error) {
    http_response_code(500);
    $answer = ['error' => $error->getMessage()];
}
echo json_encode((object) $answer);
