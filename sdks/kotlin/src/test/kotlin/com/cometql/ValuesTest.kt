package com.cometql

import com.cometql.testing.Server
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds

class ValuesTest {
    @Test
    fun `values come back as they were bound`() = test {
        Server.start().use { server ->
            connect(server.host).use { client ->
                val answer = client.query(
                    "SELECT ? AS nothing, ? AS yes, ? AS whole, ? AS huge, ? AS part, ? AS text",
                    null, true, -7, Long.MAX_VALUE, 0.5, "it's \u017elu\u0165",
                )
                val expected = mapOf(
                    "nothing" to null, "yes" to 1L, "whole" to -7L, "huge" to Long.MAX_VALUE, "part" to 0.5,
                    "text" to "it's \u017elu\u0165",
                )
                assertEquals(listOf(expected), answer.toMaps())
                val bytes = byteArrayOf(0, -1, 39)
                assertContentEquals(bytes, client.query("SELECT ?", bytes).rows[0][0].toKotlin() as ByteArray)
            }
        }
    }

    @Test
    fun `records can be made of Long and Duration`() {
        assertEquals(Options(), Options(callTimeout = 10.seconds))
        val given = Options(callTimeout = 1.minutes, maxConnections = 3, backOffMax = 2.seconds)
        assertEquals(Options(callTimeoutMs = 60_000u, maxConnections = 3u, backOffMaxMs = 2_000u), given)
        assertEquals(Claims(user = 7u), Claims(user = 7))
        assertEquals(Claims(user = 7u, lifeS = 90u, tenant = 5u), Claims(user = 7, life = 90.seconds, tenant = 5))
        assertEquals(NewPrivateMessage(7u, "x", "e"), NewPrivateMessage(7, "x", "e"))
    }

    @Test
    fun `users and times that are not valid are refused`() = test {
        Server.start().use { server ->
            connect(server.host).use { client ->
                assertFailsWith<CometException.Invalid> { client.authorize(-1, "hash") }
                assertFailsWith<CometException.Invalid> { client.sendToUser(-1, "to nobody") }
                assertFailsWith<CometException.Invalid> { mintToken(TokenKey("a secret"), Claims(user = -1)) }
                assertFailsWith<CometException.Invalid> { connect(server.host, options = Options(callTimeout = (-1).seconds)) }
                client.authorize(7, "hash7")
                client.setUserData(7, "seven")
                assertEquals("seven", client.userData(7))
                client.deleteUserData(7)
                assertNull(client.userData(7))
                client.deauthorize(7)
                assertEquals(listOf(7uL), client.lastSeen(7).map { it.user })
            }
        }
    }
}
