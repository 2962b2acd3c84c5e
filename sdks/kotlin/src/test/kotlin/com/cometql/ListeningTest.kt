package com.cometql

import com.cometql.testing.Server
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.TestInstance
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ListeningTest {
    private val server = Server.start()
    private val listening = Listening(urls = listOf("ws://${server.browsers}"))

    @AfterAll
    fun end(): Unit = server.close()

    @Test
    fun `what is published comes in order`() = test {
        connect(server.host).use { client ->
            client.subscribe("web_order", listening = listening).use { subscription ->
                client.publishMany(List(500) { NewPublication("web_order", "message $it", "e") })
                val seen = subscription.events().filterIsInstance<Event.Publication>().map { it.publication.message }
                assertEquals(List(500) { "message $it" }, seen.take(500).toList())
            }
        }
    }

    @Test
    fun `a flow subscribes when it is collected`() = test {
        connect(server.host).use { client ->
            val collected = async(Dispatchers.IO) {
                client.events("web_flow", listening = listening).filterIsInstance<Event.Publication>().take(1).toList()
            }
            while (client.subscribers(listOf("web_flow")).single().count == 0uL) Thread.yield()
            client.publish("web_flow", "hello", event = "greeting")
            val publication = collected.await().single().publication
            assertEquals("web_flow" to "greeting", publication.channel to publication.event)
        }
    }

    @Test
    fun `a position brings what was missed`() = test {
        connect(server.host).use { client ->
            val position = client.subscribe("web_since", listening = listening).use { subscription ->
                client.publish("web_since", "seen")
                subscription.publication().position
            }
            client.publish("web_since", "missed")
            client.subscribe(listOf(ChannelSince("web_since", position)), listening).use { subscription ->
                assertEquals("missed", subscription.publication().message)
            }
        }
    }

    @Test
    fun `a listener that is out of patience again and again loses nothing`() = test {
        connect(server.host).use { client ->
            client.subscribe("web_cancel", listening = listening).use { subscription ->
                val publishing = async(Dispatchers.IO) { repeat(300) { client.publish("web_cancel", "$it") } }
                val seen = mutableListOf<String>()
                var patient = false
                while (seen.lastOrNull() != "299") {
                    // On a slow machine an impatient call never gets anything: so each second one waits.
                    patient = !patient
                    val event = if (patient) subscription.next() else subscription.nextWithin(1.milliseconds)
                    if (event is Event.Publication) seen += event.publication.message
                }
                publishing.await()
                assertEquals(List(300) { "$it" }, seen)
            }
        }
    }

    @Test
    fun `close ends who waits`() = test {
        connect(server.host).use { client ->
            val subscription = client.subscribe("web_close", listening = listening)
            val all = async(Dispatchers.IO, CoroutineStart.UNDISPATCHED) { subscription.events().toList() }
            subscription.close()
            assertTrue(all.await().none { it is Event.Gap })
            assertNull(subscription.next())
        }
    }

    @Test
    fun `a blocking listener gets the same`() {
        connectBlocking(server.host).use { client ->
            client.subscribe("web_blocking", listening = listening).use { subscription ->
                client.publish("web_blocking", "hello")
                val first = subscription.events().filterIsInstance<Event.Publication>().first()
                assertEquals("hello", first.publication.message)
                assertNull(subscription.nextWithin(1.milliseconds))
                client.publish("web_blocking", "once more")
                val second = assertIs<Event.Publication>(subscription.nextWithin(60.seconds))
                assertEquals("once more", second.publication.message)
                subscription.close()
                assertNull(subscription.next())
            }
        }
    }

    @Test
    fun `who only listens needs no key, but a hash that is right`() = test {
        Subscription.open(listOf(ChannelSince("web_open")), listening).use { subscription ->
            connect(server.host).use { it.publish("web_open", "hello") }
            assertEquals("hello", subscription.publication().message)
        }
        assertFailsWith<CometException.Ended> {
            Subscription.open(listOf(ChannelSince("web_open")), listening.copy(credentials = Credentials.Hash(8u, "wrong")))
        }
    }

    private suspend fun Subscription.publication(): Received = events().firstOf<Event.Publication>().publication
}
