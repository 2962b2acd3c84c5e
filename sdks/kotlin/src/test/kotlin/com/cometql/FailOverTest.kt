package com.cometql

import com.cometql.testing.Server
import kotlin.test.Test
import kotlin.test.assertEquals

class FailOverTest {
    @Test
    fun `a loop survives the death of a server`() = test {
        Server.start().use { first ->
            Server.start().use { second ->
                connect(first.host, second.host).use { client ->
                    repeat(200) { at ->
                        if (at == 100) first.kill()
                        client.publish("web_news", "message $at")
                    }
                    assertEquals(emptyList(), client.online(listOf(1u, 2u, 3u)))
                }
            }
        }
    }

    @Test
    fun `a blocking loop survives the death of both, one after the other`() {
        Server.start().use { first ->
            Server.start().use { second ->
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
            }
        }
    }
}
