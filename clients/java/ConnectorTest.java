// MariaDB Connector/J: client-side and server-side prepared statements, a batch, errors, wrong key.

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Base64;
import java.util.List;

class ConnectorTest {
    private static final String INSERT = "INSERT INTO pipes_messages (name, event, message) VALUES (?, ?, ?)";
    private static final String CHANNEL = System.getenv("COMETQL_CHANNEL");

    public static void main(String[] arguments) throws Exception {
        List<String> cases = Files.readAllLines(Path.of(System.getenv("COMETQL_CASES_BASE64"))).stream()
                .map(line -> new String(Base64.getDecoder().decode(line), StandardCharsets.UTF_8))
                .toList();
        String key = System.getenv("COMETQL_PASSWORD");
        // Five times: its pipelined log-in must never hang.
        for (int at = 0; at < 5; at++) {
            open(key, "").close();
        }
        try (Connection connection = open(key, "")) {
            connection.createStatement().execute("INSERT INTO pipes_settings (name, length) VALUES ('" + CHANNEL + "', 90)");
            insert(connection, "client", cases);
            expectCode(15, () -> connection.createStatement().executeQuery("SELECT * FROM no_such_table"));
            expectCode(3, () -> connection.createStatement().execute("SELEC 1"));
            expect(connection.isValid(5), "isValid");
        }
        try (Connection connection = open(key, "&useServerPrepStmts=true")) {
            insert(connection, "server", cases);
            batch(connection, cases);
            expectRows(connection, List.of("client", "server", "batch"), cases);
        }
        expectCode(16, () -> open("wrong", ""));
        System.out.println("ways: client server batch");
    }

    private static Connection open(String key, String options) throws SQLException {
        String tls = System.getenv("COMETQL_CA") == null ? "" : "&useSsl=true&trustServerCertificate=true";
        String url = "jdbc:mariadb://" + System.getenv("COMETQL_HOST") + ":" + System.getenv("COMETQL_PORT")
                + "/CometQL_v1?socketTimeout=20000" + tls + options;
        return DriverManager.getConnection(url, "root", key);
    }

    private static void insert(Connection connection, String event, List<String> cases) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(INSERT)) {
            for (String text : cases) {
                bind(statement, event, text);
                statement.executeUpdate();
            }
        }
    }

    private static void batch(Connection connection, List<String> cases) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(INSERT)) {
            for (String text : cases) {
                bind(statement, "batch", text);
                statement.addBatch();
            }
            statement.executeBatch();
        }
    }

    private static void bind(PreparedStatement statement, String event, String text) throws SQLException {
        statement.setString(1, CHANNEL);
        statement.setString(2, event);
        statement.setString(3, text);
    }

    private static void expectRows(Connection connection, List<String> ways, List<String> cases) throws SQLException {
        String sql = "SELECT event, message FROM pipes_messages WHERE name = ?";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.setString(1, CHANNEL);
            ResultSet rows = statement.executeQuery();
            for (String way : ways) {
                for (String text : cases) {
                    expect(rows.next(), "a row for " + way);
                    expect(way.equals(rows.getString(1)) && text.equals(rows.getString(2)), "the row of " + way);
                }
            }
            expect(!rows.next(), "no further row");
        }
    }

    private interface Call {
        Object run() throws SQLException;
    }

    private static void expectCode(int code, Call call) {
        try {
            call.run();
        } catch (SQLException error) {
            expect(error.getErrorCode() == code, "code " + code + ", not " + error.getErrorCode() + ": " + error.getMessage());
            return;
        }
        expect(false, "an error with code " + code);
    }

    private static void expect(boolean holds, String what) {
        if (!holds) {
            System.err.println("expected " + what);
            System.exit(1);
        }
    }
}
