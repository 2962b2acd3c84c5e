import com.cometql.Client
import com.cometql.testing.Browser
import com.cometql.testing.Server
import io.ktor.server.cio.CIO
import io.ktor.server.engine.embeddedServer
import kotlinx.coroutines.runBlocking
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals

class NewsTest {
    @Test
    fun `what is posted arrives in browsers`() = runBlocking {
        Server.start().use { server ->
            val browser = Browser.open(server.browsers, "web_news")
            Client.connect(listOf(server.host), "root", Server.KEY).use { cometql ->
                val ktor = embeddedServer(CIO, port = 0, host = "127.0.0.1") { news(cometql) }.startSuspend()
                val port = ktor.engine.resolvedConnectors().first().port
                assertEquals("1 browsers have it\n", post("http://127.0.0.1:$port/news", "It's \u017elut\u00fd"))
                assertContains(browser.next(), "It's \u017elut\u00fd")
                ktor.stop()
            }
            browser.close()
        }
    }

    private fun post(url: String, text: String): String {
        val body = HttpRequest.BodyPublishers.ofString(text)
        val request = HttpRequest.newBuilder(URI(url)).header("Content-Type", "text/plain; charset=utf-8").POST(body).build()
        return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body()
    }
}
