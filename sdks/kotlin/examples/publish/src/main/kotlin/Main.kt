import com.cometql.Client
import kotlinx.coroutines.delay

suspend fun main(hosts: Array<String>) {
    Client.connect(hosts.asList(), "root", System.getenv("COMETQL_PASSWORD"), "CometQL_v1").use { client ->
        for (number in 1..100) {
            client.publish("web_news", "message $number", event = "headline")
            println("sent $number")
            delay(20)
        }
        println("online: ${client.online(1, 2, 3)}")
    }
}
