<?php
// What every PHP client test needs: where the server is, the texts to send, and how to compare.
error_reporting(E_ALL);
set_error_handler(function ($level, $message, $file, $line) {
    throw new ErrorException($message, 0, $level, $file, $line);
});

$host = getenv('COMETQL_HOST');
$port = (int)getenv('COMETQL_PORT');
$password = getenv('COMETQL_PASSWORD');
$channel = getenv('COMETQL_CHANNEL');
$ca = getenv('COMETQL_CA') ?: null;
$cases = json_decode(file_get_contents(getenv('COMETQL_CASES')), false, 512, JSON_THROW_ON_ERROR);

function expect($actual, $wanted, $what)
{
    if ($actual !== $wanted) {
        $show = fn($value) => substr(var_export($value, true), 0, 400);
        fwrite(STDERR, "$what: {$show($actual)} instead of {$show($wanted)}\n");
        exit(1);
    }
}

function expect_rows($rows, $ways)
{
    global $cases;
    expect(count($rows), count($ways) * count($cases), 'rows in the history');
    foreach ($ways as $w => $way) {
        foreach ($cases as $c => $case) {
            expect($rows[$w * count($cases) + $c], [$way, $case], 'a row of the history');
        }
    }
}

function expect_code($call, $code_of, $code, $what)
{
    try {
        $call();
    } catch (mysqli_sql_exception | PDOException $error) {
        expect($code_of($error), $code, $what);
        return;
    }
    expect('no error', $code, $what);
}
