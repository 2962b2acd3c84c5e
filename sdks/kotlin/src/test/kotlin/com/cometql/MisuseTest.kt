package com.cometql

import com.cometql.testing.Server
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.TestInstance
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class MisuseTest {
    private val server = Server.start()

    @AfterAll
    fun end(): Unit = server.close()

    @Test
    fun `a wrong key is refused`() = test {
        val error = assertFailsWith<CometException.AccessDenied> {
            Client.connect(listOf(server.host), "root", "wrong")
        }
        assertEquals(16u, error.code)
        assertFailsWith<CometException.AccessDenied> { BlockingClient.connect(listOf(server.host), "root", "wrong") }
    }

    @Test
    fun `a host that is not there can't be reached`() = test {
        val nobody = Server.start().apply { close() }.host
        val options = Options(callTimeoutMs = 500u)
        assertFailsWith<CometException.Unreachable> { connect(nobody, options = options) }
        assertFailsWith<CometException.Unreachable> { connectBlocking(nobody, options = options) }
    }

    @Test
    fun `a closed client says so`() = test {
        val client = connect(server.host)
        client.close()
        client.close()
        assertFailsWith<CometException.Closed> { client.publish("web_news", "too late") }
        val blocking = connectBlocking(server.host)
        blocking.close()
        blocking.close()
        assertFailsWith<CometException.Closed> { blocking.ping() }
    }

    @Test
    fun `invalid arguments are told`() = test {
        assertFailsWith<CometException.Invalid> { connect() }
        assertFailsWith<CometException.Invalid> { connect("a host") }
        assertFailsWith<CometException.Invalid> { connect(server.host, options = Options(maxConnections = 0u)) }
        connect(server.host).use { client ->
            assertFailsWith<CometException.Invalid> { client.query("SELECT ?", listOf(1)) }
        }
    }

    @Test
    fun `a refusal carries the server's code`() = test {
        connect(server.host).use { client ->
            val error = assertFailsWith<CometException.Refused> { client.query("SELEKT 1") }
            assertEquals(3u, error.code)
            assertEquals(5, error.state.length)
        }
    }
}
