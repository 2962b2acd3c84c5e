"""SQLAlchemy core through its usual connection set-up (PyMySQL below)."""

import sqlalchemy as sa

from common import CASES, CHANNEL, HOST, PASSWORD, PORT, expect, expect_error, expect_rows, finish

url = sa.URL.create("mysql+pymysql", "root", PASSWORD, HOST, PORT, "CometQL_v1", {"charset": "utf8mb4"})
engine = sa.create_engine(url, pool_pre_ping=True)
tables = sa.MetaData()
messages = sa.Table(
    "pipes_messages", tables, sa.Column("name", sa.String), sa.Column("event", sa.String), sa.Column("message", sa.Text)
)
settings = sa.Table("pipes_settings", tables, sa.Column("name", sa.String), sa.Column("length", sa.Integer))
with engine.begin() as connection:
    connection.execute(sa.insert(settings).values(name=CHANNEL, length=90))
    for case in CASES:
        connection.execute(sa.insert(messages).values(name=CHANNEL, event="one", message=case))
    connection.execute(sa.insert(messages), [{"name": CHANNEL, "event": "many", "message": case} for case in CASES])
with engine.connect() as connection:
    rows = connection.execute(sa.select(messages.c.event, messages.c.message).where(messages.c.name == CHANNEL))
    expect_rows(rows.all(), ["one", "many"])
    expect_error(
        sa.exc.DBAPIError,
        lambda error: error.orig.args[0],
        lambda: connection.execute(sa.text("SELECT * FROM no_such_table")),
        15,
        "unknown table",
    )
    expect(int(connection.execute(sa.text("SELECT 1 + 1")).scalar()), 2, "the connection goes on after an error")
finish(["one", "many"])
