package com.cometql

import com.cometql.testing.Server
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.TestInstance
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

/** Private messages come until they were handled, and not again. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class InboxTest {
    private val server = Server.start()

    @AfterAll
    fun end(): Unit = server.close()

    private class Failed : Exception()

    @Test
    fun `forEach acknowledges what was handled`() = test {
        connect(server.host).use { client ->
            val inbox = inboxOf(client, 7, "one", "two", "three")
            val handled = mutableListOf<String>()
            val first = client.subscribe(listening = inbox)
            assertFailsWith<Failed> {
                first.forEach { event ->
                    if (event !is Event.Message) return@forEach
                    if (event.message.message == "two") throw Failed()
                    handled += event.message.message
                }
            }
            first.disconnect()
            val second = client.subscribe(listening = inbox)
            second.untilThree(handled)
            second.disconnect()
            assertEquals(listOf("one", "two", "three"), handled)
            assertEquals("four", nextOf(client, inbox))
        }
    }

    /** The end of the loop is told by hand: what is left by `return` counts as not handled. */
    private suspend fun Subscription.untilThree(handled: MutableList<String>) {
        forEach { event ->
            if (event is Event.Message) {
                handled += event.message.message
                if (event.message.message == "three") {
                    acknowledge(event.message.offset)
                    return
                }
            }
        }
    }

    @Test
    fun `a flow that reads ahead acknowledges nothing`() = test {
        connect(server.host).use { client ->
            val inbox = inboxOf(client, 8, "one", "two", "three")
            client.subscribe(listening = inbox).use { subscription ->
                assertFailsWith<CometException.Invalid> { subscription.events().buffer().collect() }
            }
            assertFailsWith<CometException.Invalid> { client.events(listening = inbox).collect() }
            val byHand = inbox.copy(acknowledgeByHand = true)
            val subscription = client.subscribe(listening = byHand)
            val seen = subscription.events().buffer().filterIsInstance<Event.Message>().take(3).toList()
            assertEquals(listOf("one", "two", "three"), seen.map { it.message.message })
            subscription.acknowledge(seen[0].message.offset)
            subscription.disconnect()
            assertEquals("two", nextOf(client, byHand))
        }
    }

    @Test
    fun `a blocking loop acknowledges what was handled`() {
        connectBlocking(server.host).use { client ->
            client.authorize(9, "hash9")
            listOf("one", "two", "three").forEach { client.sendToUser(9, it) }
            val inbox = listening(9)
            client.subscribe(listening = inbox).use { subscription ->
                val messages = subscription.events().filterIsInstance<Event.Message>().map { it.message.message }
                // To ask for the third one says that the second one was handled.
                assertEquals(listOf("one", "two", "three"), messages.take(3).toList())
            }
            client.subscribe(listening = inbox).use { subscription ->
                val message = subscription.events().filterIsInstance<Event.Message>().first().message
                assertEquals("three", message.message)
                subscription.acknowledge(message.offset)
            }
            client.sendToUser(9, "four")
            client.subscribe(listening = inbox).use { subscription ->
                assertEquals("four", subscription.events().filterIsInstance<Event.Message>().first().message.message)
            }
        }
    }

    /** A listener of a user to whom this was sent. */
    private suspend fun inboxOf(client: Client, user: Long, vararg messages: String): Listening {
        client.authorize(user, "hash$user")
        messages.forEach { client.sendToUser(user, it) }
        return listening(user)
    }

    private fun listening(user: Long): Listening = Listening(
        urls = listOf("ws://${server.browsers}"),
        credentials = Credentials.Hash(user.toULong(), "hash$user"),
        inbox = true,
    )

    /** What comes first, after "four" was sent. */
    private suspend fun nextOf(client: Client, inbox: Listening): String {
        client.sendToUser((inbox.credentials as Credentials.Hash).user.toLong(), "four")
        return client.subscribe(listening = inbox.copy(acknowledgeByHand = true)).use { subscription ->
            subscription.events().filterIsInstance<Event.Message>().first().message.message
        }
    }
}
