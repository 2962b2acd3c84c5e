<?php
// For `connections` in config/database.php: `'cometql' => require base_path('cometql/database.php')`, or its lines.

return [
    'driver' => 'mysql',
    'host' => $_ENV['COMETQL_HOST'] ?? '127.0.0.1',
    'port' => $_ENV['COMETQL_PORT'] ?? '3307',
    'database' => 'CometQL_v1',
    'username' => 'root',
    'password' => $_ENV['COMETQL_KEY'] ?? 'YOUR_KEY',
    'charset' => 'utf8mb4',
    'collation' => 'utf8mb4_unicode_ci',
    'prefix' => '',
];
