package com.cometql

import com.cometql.testing.Proxy
import com.cometql.testing.Server
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.TestInstance
import kotlin.test.Test
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.seconds

/** Calls whose answer does not come: cancelled, too late, closed. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class EndingTest {
    private val server = Server.start()

    @AfterAll
    fun end(): Unit = server.close()

    @Test
    fun `a call that is cancelled ends, and the client goes on`() = test {
        Proxy(server.host).use { proxy ->
            connect(proxy.host).use { client ->
                proxy.stall()
                var ended: Throwable? = null
                val call = launch(Dispatchers.IO) {
                    ended = assertFailsWith<CancellationException> { client.ping() }
                }
                withContext(Dispatchers.IO) { proxy.awaitQuestion() }
                call.cancelAndJoin()
                assertTrue(ended is CancellationException)
                proxy.resume()
                client.ping()
            }
        }
    }

    @Test
    fun `an answer that comes too late is not waited for`() = test {
        Proxy(server.host).use { proxy ->
            connect(proxy.host, options = Options(callTimeout = 3.seconds)).use { client ->
                proxy.stall()
                assertFailsWith<CometException.TimedOut> { client.publish("web_news", "never answered") }
            }
        }
    }

    @Test
    fun `close ends a call that is under way`() = test {
        Proxy(server.host).use { proxy ->
            val client = connect(proxy.host)
            proxy.stall()
            val call = async(Dispatchers.IO) { runCatching { client.ping() } }
            withContext(Dispatchers.IO) { proxy.awaitQuestion() }
            client.close()
            assertTrue(call.await().exceptionOrNull() is CometException.Closed)
        }
    }

    @Test
    fun `close ends a blocking call of another thread`() = test {
        Proxy(server.host).use { proxy ->
            val client = connectBlocking(proxy.host)
            proxy.stall()
            val call = async(Dispatchers.IO) { runCatching { client.ping() } }
            withContext(Dispatchers.IO) {
                proxy.awaitQuestion()
                client.close()
            }
            assertTrue(call.await().exceptionOrNull() is CometException.Closed)
        }
    }
}
