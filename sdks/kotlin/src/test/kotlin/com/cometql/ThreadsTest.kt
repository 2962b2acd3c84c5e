package com.cometql

import com.cometql.testing.Server
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.TestInstance
import java.util.concurrent.CompletableFuture
import java.util.concurrent.TimeUnit
import kotlin.coroutines.Continuation
import kotlin.coroutines.EmptyCoroutineContext
import kotlin.coroutines.startCoroutine
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

/** Coroutines that no dispatcher takes out of the thread that resumes them. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ThreadsTest {
    private val server = Server.start()
    private val listening = Listening(urls = listOf("ws://${server.browsers}"))

    @AfterAll
    fun end(): Unit = server.close()

    @Test
    fun `listening without a dispatcher`() = asMain { listens("web_main") }

    @Test
    fun `listening on Unconfined`() = unconfined { listens("web_unconfined") }

    @Test
    fun `code without a dispatcher may block after a call`() = asMain { blocks() }

    @Test
    fun `code on Unconfined may block after a call`() = unconfined { blocks() }

    private suspend fun listens(channel: String) {
        connect(server.host).use { client ->
            client.subscribe(channel, listening = listening).use { subscription ->
                client.publishMany(List(100) { NewPublication(channel, "$it") })
                val seen = subscription.events().filterIsInstance<Event.Publication>().map { it.publication.message }
                assertEquals(List(100) { "$it" }, seen.take(100).toList())
                assertEquals(null, subscription.nextWithin(1.milliseconds))
            }
            client.disconnect()
        }
    }

    /** After each call that suspends, this thread waits for another one. */
    private suspend fun blocks() {
        connect(server.host).use { client ->
            meanwhile { client.ping() }
            client.publish("web_blocks", "one")
            meanwhile { client.ping() }
            connectBlocking(server.host).use { it.ping() }
            val subscription = client.subscribe("web_blocks", listening = listening)
            meanwhile { client.ping() }
            subscription.next()
            meanwhile { client.ping() }
            subscription.disconnect()
            meanwhile { client.ping() }
        }
    }

    private fun meanwhile(call: suspend () -> Unit): Unit = runBlocking { withTimeout(60.seconds) { call() } }

    /** As `suspend fun main` runs. */
    private fun asMain(block: suspend () -> Unit) {
        val done = CompletableFuture<Unit>()
        block.startCoroutine(Continuation(EmptyCoroutineContext) { it.fold(done::complete, done::completeExceptionally) })
        done.get(120, TimeUnit.SECONDS)
    }

    private fun unconfined(block: suspend () -> Unit) {
        val done = CompletableFuture<Unit>()
        CoroutineScope(Dispatchers.Unconfined).async { block() }
            .invokeOnCompletion { if (it == null) done.complete(Unit) else done.completeExceptionally(it) }
        done.get(120, TimeUnit.SECONDS)
    }
}
