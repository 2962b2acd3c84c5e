<?php
// The backend of all demos: that of the comments, and what counters and private messages need besides.

function ticket(PDO $own, mysqli $cometql): void
{
    $own->exec('CREATE TABLE IF NOT EXISTS tickets (id INTEGER PRIMARY KEY)');
    $own->exec('INSERT INTO tickets DEFAULT VALUES');
    $cometql->execute_query(PUBLISH, ['counters_demo', 'tickets', $own->lastInsertId()]);
}

function login(PDO $own, mysqli $cometql, array $form): array // A real site asks for a password before.
{
    $user = (int) $form['user'];
    $own->exec('CREATE TABLE IF NOT EXISTS logins (user INTEGER PRIMARY KEY, hash)');
    $own->prepare('INSERT OR IGNORE INTO logins (user, hash) VALUES (?, ?)')->execute([$user, bin2hex(random_bytes(16))]);
    $secret = $own->query("SELECT hash FROM logins WHERE user = $user")->fetchColumn();
    $cometql->execute_query('INSERT INTO users_auth (id, hash) VALUES (?, ?)', [$user, $secret]);
    return ['user' => $user, 'hash' => $secret];
}

function letter(PDO $own, mysqli $cometql, array $form): void
{
    [$user, $to] = [(int) $form['user'], (int) $form['to']];
    $known = $own->prepare('SELECT 1 FROM logins WHERE user = ? AND hash = ?');
    $known->execute([$user, $form['hash']]);
    $known->fetchColumn() ?: throw new RuntimeException('not logged in');
    $own->exec('CREATE TABLE IF NOT EXISTS letters (id INTEGER PRIMARY KEY, sender, recipient, text)');
    $own->prepare('INSERT INTO letters (sender, recipient, text) VALUES (?, ?, ?)')->execute([$user, $to, $form['text']]);
    $message = json_encode(['from' => $user, 'text' => $form['text']]);
    $cometql->execute_query("INSERT INTO users_messages (id, event, message) VALUES (?, 'letter', ?)", [$to, $message]);
}

$actions = ['/ticket' => ticket(...), '/login' => login(...), '/letter' => letter(...)];
require __DIR__ . '/comments.php';
