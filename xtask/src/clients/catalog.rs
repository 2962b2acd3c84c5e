//! The clients whose compatibility is tested, and what each needs to be installed.

/// What a client is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runtime {
    /// A script below `clients/python`, in a virtual environment with the pinned packages.
    Python,
    /// A script below `clients/php`.
    Php,
    /// A module below `clients/node`, beside the pinned packages.
    Node,
    /// A module below `clients/browser` that drives a headless browser.
    Browser,
    /// A single-file program below `clients/java`, with Connector/J from Debian.
    Java,
}

/// One client in one configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client {
    /// As `--only` names it.
    pub(super) name: &'static str,
    pub(super) runtime: Runtime,
    /// The script's file name.
    pub(super) script: &'static str,
    /// The way to log in, for clients that can be told.
    pub(super) auth: &'static str,
    pub(super) tls: bool,
    /// It is no MySQL client: it checks all that it is for by itself.
    pub(super) browser: bool,
    /// A program or file, and the Debian packages that bring it.
    pub(super) needs: &'static [(&'static str, &'static str)],
    /// The version of the original's JavaScript client that it runs.
    pub(super) original: Option<&'static str>,
    /// It needs the demos' pages.
    pub(super) demos: bool,
    /// The browser in which it runs the npm package.
    pub(super) package: Option<&'static str>,
    /// The folder below `clients/bundlers` that it bundles.
    pub(super) app: Option<&'static str>,
    /// It takes so much that it only runs when it is named: what it takes.
    pub(super) costs: Option<&'static str>,
}

const NATIVE: &str = "mysql_native_password";
const CACHING: &str = "caching_sha2_password";

const PHP: &[(&str, &str)] = &[("php", "php-cli php-mysql")];
const LARAVEL: &[(&str, &str)] = &[
    ("php", "php-cli php-mysql"),
    (
        "/usr/share/php/Illuminate/Database/autoload.php",
        "php-illuminate-database",
    ),
    (
        "/usr/share/php/Illuminate/Broadcasting/autoload.php",
        "php-illuminate-broadcasting",
    ),
];
const PYTHON: &[(&str, &str)] = &[
    ("python3", "python3 python3-venv"),
    (
        "mariadb_config",
        "libmariadb-dev gcc pkg-config python3-dev",
    ),
];
const CLI: &[(&str, &str)] = &[
    ("python3", "python3 python3-venv"),
    ("mariadb", "mariadb-client"),
];
const NODE: &[(&str, &str)] = &[("npm", "nodejs npm")];
const JAVA: &[(&str, &str)] = &[
    ("javac", "default-jdk-headless"),
    (CONNECTOR_J, "libmariadb-java"),
];
const CHROMIUM: &[(&str, &str)] = &[
    ("npm", "nodejs npm"),
    ("chromium", "chromium"),
    ("mysql", "mariadb-client"),
];
/// Debian has the extension in a folder that is named after PHP's version; the list of its files has one name.
const DEMOS_PHP: &[(&str, &str)] = &[
    ("npm", "nodejs npm"),
    ("chromium", "chromium"),
    ("php", "php-cli php-mysql"),
    ("/var/lib/dpkg/info/php-sqlite3.list", "php-sqlite3"),
];
const FIREFOX: &[(&str, &str)] = &[
    ("npm", "nodejs npm"),
    ("firefox-esr", "firefox-esr"),
    ("mysql", "mariadb-client"),
];
const BALANCER: &[(&str, &str)] = &[("python3", "python3 python3-venv"), ("haproxy", "haproxy")];

/// Where Debian puts the driver.
pub(super) const CONNECTOR_J: &str = "/usr/share/java/mariadb-java-client.jar";

const fn client(
    name: &'static str,
    runtime: Runtime,
    script: &'static str,
    needs: &'static [(&'static str, &'static str)],
) -> Client {
    Client {
        name,
        runtime,
        script,
        auth: NATIVE,
        tls: false,
        browser: matches!(runtime, Runtime::Browser),
        needs,
        original: None,
        demos: false,
        package: None,
        app: None,
        costs: None,
    }
}

impl Client {
    const fn caching(self) -> Self {
        Self {
            auth: CACHING,
            ..self
        }
    }

    const fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    const fn browser(self) -> Self {
        Self {
            browser: true,
            ..self
        }
    }

    const fn package(self, browser: &'static str) -> Self {
        Self {
            package: Some(browser),
            ..self
        }
    }

    const fn original(self, version: &'static str) -> Self {
        Self {
            original: Some(version),
            ..self
        }
    }

    const fn app(self, folder: &'static str) -> Self {
        Self {
            app: Some(folder),
            ..self.package("chromium")
        }
    }

    const fn costs(self, what: &'static str) -> Self {
        Self {
            costs: Some(what),
            ..self
        }
    }

    const fn demos(self) -> Self {
        Self {
            demos: true,
            ..self
        }
    }
}

/// All of them.
pub(super) const CLIENTS: &[Client] = &[
    client("mariadb-cli", Runtime::Python, "mariadb_cli_test.py", CLI),
    client(
        "mariadb-cli-caching-sha2",
        Runtime::Python,
        "mariadb_cli_test.py",
        CLI,
    )
    .caching(),
    client(
        "mariadb-cli-tls",
        Runtime::Python,
        "mariadb_cli_test.py",
        CLI,
    )
    .tls(),
    client("php-mysqli", Runtime::Php, "mysqli_test.php", PHP),
    client("php-mysqli-tls", Runtime::Php, "mysqli_test.php", PHP).tls(),
    client("php-pdo", Runtime::Php, "pdo_test.php", PHP),
    client("php-pdo-tls", Runtime::Php, "pdo_test.php", PHP).tls(),
    client("php-page", Runtime::Php, "page_test.php", PHP).browser(),
    client("php-laravel", Runtime::Php, "laravel_test.php", LARAVEL),
    client("pymysql", Runtime::Python, "pymysql_test.py", PYTHON),
    client("pymysql-tls", Runtime::Python, "pymysql_test.py", PYTHON).tls(),
    client(
        "mysqlclient",
        Runtime::Python,
        "mysqlclient_test.py",
        PYTHON,
    ),
    client(
        "mysqlclient-tls",
        Runtime::Python,
        "mysqlclient_test.py",
        PYTHON,
    )
    .tls(),
    client(
        "mysql-connector-python",
        Runtime::Python,
        "connector_test.py",
        PYTHON,
    ),
    client(
        "mysql-connector-python-caching-sha2",
        Runtime::Python,
        "connector_test.py",
        PYTHON,
    )
    .caching(),
    client(
        "mysql-connector-python-tls",
        Runtime::Python,
        "connector_test.py",
        PYTHON,
    )
    .caching()
    .tls(),
    client("sqlalchemy", Runtime::Python, "sqlalchemy_test.py", PYTHON),
    client("node-mysql2", Runtime::Node, "mysql2_test.mjs", NODE),
    client("node-mysql2-tls", Runtime::Node, "mysql2_test.mjs", NODE).tls(),
    client("node-knex", Runtime::Node, "knex_test.mjs", NODE),
    client(
        "java-connector-j",
        Runtime::Java,
        "ConnectorTest.java",
        JAVA,
    ),
    client(
        "java-connector-j-tls",
        Runtime::Java,
        "ConnectorTest.java",
        JAVA,
    )
    .tls(),
    client("websocket-ws", Runtime::Node, "ws_test.mjs", NODE).browser(),
    client(
        "websocket-websockets",
        Runtime::Python,
        "websockets_test.py",
        PYTHON,
    )
    .browser(),
    client("haproxy", Runtime::Python, "haproxy_test.py", BALANCER),
    client(
        "browser-readme",
        Runtime::Browser,
        "readme_test.mjs",
        CHROMIUM,
    ),
    client("browser-demo", Runtime::Browser, "demo_test.mjs", CHROMIUM),
    client("demos", Runtime::Browser, "demos_test.mjs", CHROMIUM).demos(),
    client("demos-firefox", Runtime::Browser, "demos_test.mjs", FIREFOX)
        .demos()
        .package("firefox"),
    client(
        "demos-php",
        Runtime::Browser,
        "demos_php_test.mjs",
        DEMOS_PHP,
    )
    .demos(),
    client(
        "browser-console",
        Runtime::Browser,
        "console_test.mjs",
        CHROMIUM,
    ),
    client(
        "package-chromium",
        Runtime::Browser,
        "client_test.mjs",
        CHROMIUM,
    )
    .package("chromium"),
    client(
        "package-firefox",
        Runtime::Browser,
        "client_test.mjs",
        FIREFOX,
    )
    .package("firefox"),
    client(
        "package-legacy",
        Runtime::Browser,
        "legacy_test.mjs",
        CHROMIUM,
    )
    .package("chromium"),
    client(
        "package-legacy-tls",
        Runtime::Browser,
        "legacy_test.mjs",
        CHROMIUM,
    )
    .package("chromium")
    .tls(),
    client(
        "bundler-vite",
        Runtime::Browser,
        "bundler_vite_test.mjs",
        CHROMIUM,
    )
    .app("vite"),
    client(
        "bundler-webpack",
        Runtime::Browser,
        "bundler_webpack_test.mjs",
        CHROMIUM,
    )
    .app("webpack"),
    client(
        "bundler-copied",
        Runtime::Browser,
        "bundler_copied_test.mjs",
        CHROMIUM,
    )
    .app("copied"),
    client(
        "bundler-next",
        Runtime::Browser,
        "bundler_next_test.mjs",
        CHROMIUM,
    )
    .app("next")
    .costs("340 MB and about two minutes"),
    client(
        "original-3.25",
        Runtime::Browser,
        "original_3_25_test.mjs",
        CHROMIUM,
    )
    .original("3.25"),
    client(
        "original-3.25-tls",
        Runtime::Browser,
        "original_3_25_test.mjs",
        CHROMIUM,
    )
    .original("3.25")
    .tls(),
    client(
        "original-4.08",
        Runtime::Browser,
        "original_4_08_test.mjs",
        CHROMIUM,
    )
    .original("4.08"),
    client(
        "original-4.08-tls",
        Runtime::Browser,
        "original_4_08_test.mjs",
        CHROMIUM,
    )
    .original("4.08")
    .tls(),
];
