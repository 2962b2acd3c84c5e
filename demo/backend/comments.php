<?php
// The backend of live comments. Writes to its own database, then tells CometQL; if that fails, neither is done.

const PUBLISH = 'INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)';

function comment(PDO $own, mysqli $cometql, array $form): void
{
    $own->exec('CREATE TABLE IF NOT EXISTS comments (id INTEGER PRIMARY KEY, name, text)');
    $own->prepare('INSERT INTO comments (name, text) VALUES (?, ?)')->execute([$form['name'], $form['text']]);
    $message = json_encode(['name' => $form['name'], 'text' => $form['text']]);
    $cometql->execute_query(PUBLISH, ['comments_demo', 'comment', $message]);
}

$actions['/comment'] = comment(...);

header('Access-Control-Allow-Origin: *'); // The demos' pages are served by CometQL itself.
http_response_code(500); // Until all is done.
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$own = new PDO('sqlite:' . getenv('DATABASE'));
$cometql = new mysqli(getenv('COMETQL_HOST'), 'root', getenv('COMETQL_PASSWORD'), 'CometQL_v1', (int) getenv('COMETQL_PORT'));
$own->beginTransaction();
$answer = $actions[$_SERVER['REQUEST_URI']]($own, $cometql, $_POST);
$own->commit();
http_response_code(200);
echo json_encode($answer);
