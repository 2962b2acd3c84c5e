import com.cometql.testing.Browser
import com.cometql.testing.Server
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals

class MainTest {
    /** The program as its users start it: a process with the jar from the Maven repository on its class path. */
    @Test
    fun `the program goes on when one of two servers dies in the middle of its loop`() {
        Server.start().use { first ->
            Server.start().use { second ->
                val seen = Browser.open(second.browsers, "web_news")
                val java = File(System.getProperty("java.home"), "bin/java").path
                val classes = System.getProperty("java.class.path")
                val program = ProcessBuilder(java, "-cp", classes, "MainKt", first.host, second.host)
                program.environment()["COMETQL_PASSWORD"] = Server.KEY
                val process = program.redirectErrorStream(true).start()
                val said = process.inputReader().lineSequence().onEach { if (it == "sent 50") first.kill() }.toList()
                assertEquals(0, process.waitFor(), said.joinToString("\n"))
                assertEquals((1..100).map { "sent $it" }, said.filter { it.startsWith("sent") })
                assertEquals("online: []", said.last())
                // What came after the death arrived at the other one.
                assertContains(seen.next(), "message ")
                seen.close()
            }
        }
    }
}
