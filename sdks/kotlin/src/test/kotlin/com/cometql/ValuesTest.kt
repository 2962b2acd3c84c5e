package com.cometql

import com.cometql.testing.Server
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals

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
}
