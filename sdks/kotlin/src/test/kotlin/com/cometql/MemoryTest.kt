package com.cometql

import com.cometql.testing.Server
import java.io.File
import kotlin.test.Test
import kotlin.test.assertTrue

/**
 * Memory grows in some rounds: the heap is touched, code is compiled, threads come. What a call leaves behind grows in each round.
 * The heap of the tests is small and filled from the start (pom.xml), so that what grows is not it.
 */
class MemoryTest {
    @Test
    fun `publications leave nothing behind`() = test {
        Server.start().use { server ->
            connect(server.host).use { client ->
                leavesNothing { client.publish("web_news", "message $it") }
            }
        }
    }

    @Test
    fun `publications of a blocking client leave nothing behind`() = test {
        Server.start().use { server ->
            connectBlocking(server.host).use { client ->
                leavesNothing { client.publish("web_news", "message $it") }
            }
        }
    }

    private suspend fun leavesNothing(call: suspend (Int) -> Unit) {
        val grown = List(ROUNDS) {
            val before = residentKilobytes()
            repeat(CALLS) { call(it) }
            residentKilobytes() - before
        }
        val least = grown.min() * 1024 / CALLS
        assertTrue(least < MOST_BYTES, "each call leaves $least bytes behind: $grown kB in $ROUNDS rounds of $CALLS calls")
    }

    private fun residentKilobytes(): Long {
        System.gc()
        val line = File("/proc/self/status").readLines().first { it.startsWith("VmRSS:") }
        return line.filter(Char::isDigit).toLong()
    }

    private companion object {
        const val ROUNDS = 6
        const val CALLS = 2_000

        /** Less than any object of a call would be. */
        const val MOST_BYTES = 24
    }
}
