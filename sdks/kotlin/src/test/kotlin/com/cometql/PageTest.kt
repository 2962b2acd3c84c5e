package com.cometql

import com.cometql.testing.Server
import kotlinx.coroutines.flow.transformWhile
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.TestInstance
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.time.Duration.Companion.minutes

/** What `docs-site/sdks/kotlin.md` shows. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class PageTest {
    private val server = Server.start()
    private val host = server.host
    private val key = Server.KEY
    private val said = mutableListOf<String>()

    @AfterAll
    fun end(): Unit = server.close()

    private fun println(line: Any?) {
        said += line.toString()
    }

    @Test
    fun `calls of each kind`() = test {
        Client.connect(listOf(host), "root", key).use { client ->
            client.publishMany(listOf(NewPublication("web_news", "first"), NewPublication("web_news", "second", event = "headline")))
            client.sendToUser(7, """{"text":"only for you"}""")
            val online: List<Long> = client.online(7, 8)
            val rows = client.query("SELECT name, users FROM pipes WHERE name = ?", "web_news").toMaps()
            println("$online $rows")
        }
        assertEquals("[] [{name=web_news, users=0}]", said.last())
    }

    @Test
    fun `pages of a history`() = test {
        Client.connect(listOf(host), "root", key).use { client ->
            client.setChannelSettings("web_log", ChannelSettings(length = 1000u))
            client.publishMany(List(250) { NewPublication("web_log", "$it") })
            var page = client.history("web_log")
            while (true) {
                page.publications.forEach { println(it.message) }
                page = client.history("web_log", HistoryPage(after = page.next ?: break))
            }
        }
        assertEquals(List(250) { "$it" }, said.takeLast(250))
    }

    @Test
    fun `a flow of events`() = test {
        val nodes = Listening(urls = listOf("ws://${server.browsers}"))
        Client.connect(listOf(host), "root", key).use { client ->
            client.setChannelSettings("web_orders", ChannelSettings(length = 10u))
            val position = client.subscribe("web_orders", listening = nodes).use { subscription ->
                client.publish("web_orders", "one")
                subscription.events().firstOf<Event.Publication>().publication.position
            }
            client.publish("web_orders", "two")
            client.subscribe(listOf(ChannelSince("web_orders", position)), nodes).use { subscription ->
                // The page has no end.
                val events = subscription.events().transformWhile { emit(it); it !is Event.Publication }
                events.collect { event ->
                    when (event) {
                        is Event.Publication -> println(event.publication.message)
                        is Event.Gap -> println("load ${event.channel} anew")
                        else -> {}
                    }
                }
            }
        }
        assertEquals("two", said.last())
    }

    @Test
    fun `private messages`() = test {
        Client.connect(listOf(host), "root", key).use { client ->
            client.authorize(9, "hash9")
            client.sendToUser(9, "first")
            val credentials = Credentials.Hash(9u, "hash9")
            val listening = Listening(urls = listOf("ws://${server.browsers}"), credentials = credentials, inbox = true)
            val subscription = client.subscribe(listening = listening)
            // The page has no end.
            fun handle(message: String) {
                println(message)
                subscription.close()
            }
            subscription.forEach { event ->
                if (event is Event.Message) handle(event.message.message)
            }
        }
        assertEquals("first", said.last())
    }

    @Test
    fun `errors and blocking calls`() {
        BlockingClient.connect(listOf(host), "root", key).use { client ->
            try {
                client.publish("a name with spaces", "hello")
            } catch (error: CometException.Refused) {
                println("${error.code}: ${error.detail}")
            }
        }
        assertEquals("12", said.last().substringBefore(":"))
    }

    @Test
    fun `a token for a browser`() {
        val token = mintToken(TokenKey("thirty-two characters of a secret"), Claims(user = 7, life = 10.minutes))
        assertEquals(3, token.split(".").size)
    }
}
