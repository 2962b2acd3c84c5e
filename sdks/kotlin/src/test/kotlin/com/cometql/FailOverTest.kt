package com.cometql

import com.cometql.testing.Server
import kotlin.test.Test
import kotlin.test.assertEquals

/** The death of a server in a loop. No call is under way when it dies: so each message must be on one server, once. */
class FailOverTest {
    @Test
    fun `a loop survives the death of a server`() = test {
        Server.start().use { first ->
            Server.start().use { second ->
                keepHistory(first, second)
                connect(first.host, second.host).use { client ->
                    repeat(200) { at ->
                        if (at == 100) first.kill()
                        client.publish("web_news", "message $at")
                    }
                    assertEquals(emptyList(), client.online(listOf(1u, 2u, 3u)))
                }
                first.restart()
                assertEquals(messages(0..99), kept(first))
                assertEquals(messages(100..199), kept(second))
            }
        }
    }

    @Test
    fun `a blocking loop survives the death of both, one after the other`() = test {
        Server.start().use { first ->
            Server.start().use { second ->
                keepHistory(first, second)
                connectBlocking(first.host, second.host).use { client ->
                    repeat(300) { at ->
                        if (at == 100) first.kill()
                        if (at == 200) {
                            first.restart()
                            second.kill()
                        }
                        client.publish("web_news", "message $at")
                    }
                }
                second.restart()
                val (onFirst, onSecond) = kept(first) to kept(second)
                assertEquals(messages(100..199), onSecond)
                assertEquals(messages(0..99) + messages(200..299), onFirst)
            }
        }
    }

    private fun messages(numbers: IntRange): List<String> = numbers.map { "message $it" }

    private suspend fun keepHistory(vararg servers: Server) {
        for (server in servers) {
            connect(server.host).use { it.setChannelSettings("web_news", ChannelSettings(length = 1000u)) }
        }
    }

    /** What a server has of the channel on its disk. */
    private suspend fun kept(server: Server): List<String> = connect(server.host).use { client ->
        client.history("web_news", HistoryPage(limit = 1000u)).publications.map { it.message }
    }
}
