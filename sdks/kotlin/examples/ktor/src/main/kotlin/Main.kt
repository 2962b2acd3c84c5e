import com.cometql.Client
import io.ktor.server.application.Application
import io.ktor.server.cio.CIO
import io.ktor.server.engine.embeddedServer
import io.ktor.server.request.receiveText
import io.ktor.server.response.respondText
import io.ktor.server.routing.post
import io.ktor.server.routing.routing

/** The one client of the application, which all requests share. */
fun Application.news(cometql: Client) {
    routing {
        post("/news") {
            val sent = cometql.publish("web_news", call.receiveText(), event = "headline")
            call.respondText("${sent.reached} browsers have it\n")
        }
    }
}

suspend fun main() {
    Client.connect(listOf("127.0.0.1:3307"), "root", System.getenv("COMETQL_PASSWORD"), "CometQL_v1").use { cometql ->
        embeddedServer(CIO, port = 8080) { news(cometql) }.startSuspend(wait = true)
    }
}
