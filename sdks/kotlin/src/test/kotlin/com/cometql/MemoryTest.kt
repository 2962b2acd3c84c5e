package com.cometql

import com.cometql.testing.Server
import java.io.File
import kotlin.test.Test
import kotlin.test.assertTrue

class MemoryTest {
    /** The heap of the tests is small and filled from the start (pom.xml), so that what grows is not it. */
    @Test
    fun `ten thousand publications leave nothing behind`() = test {
        Server.start().use { server ->
            connect(server.host).use { client ->
                repeat(3_000) { client.publish("web_news", "to warm up") }
                val before = residentKilobytes()
                repeat(10_000) { client.publish("web_news", "message $it") }
                val grown = residentKilobytes() - before
                assertTrue(grown < MOST_KILOBYTES, "$grown kB more after 10,000 publications")
            }
        }
    }

    private fun residentKilobytes(): Long {
        System.gc()
        val line = File("/proc/self/status").readLines().first { it.startsWith("VmRSS:") }
        return line.filter(Char::isDigit).toLong()
    }

    private companion object {
        /** A kilobyte that is lost with each publication would be more. */
        const val MOST_KILOBYTES = 8_000
    }
}
