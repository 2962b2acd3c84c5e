package com.cometql

import com.cometql.testing.Proxy
import com.cometql.testing.Server
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.async
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.TestInstance
import java.io.File
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.coroutines.CoroutineContext
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull

/** What was closed or cancelled gives back what it had of the system, without a collector of garbage. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ReleaseTest {
    private val server = Server.start()
    private val listening = Listening(urls = listOf("ws://${server.browsers}"))

    @AfterAll
    fun end(): Unit = server.close()

    @Test
    fun `blocking clients that are closed leave no file open`() {
        fun client() = connectBlocking(server.host).also {
            it.ping()
            it.close()
        }
        client()
        val before = openFiles()
        // They stay here, so that nothing but close frees them.
        val clients = List(40) { client() }
        val until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60)
        while (openFiles() > before) {
            check(System.nanoTime() < until) { "${openFiles()} files are open, $before were before" }
            Thread.yield()
        }
        clients.forEach { assertFailsWith<CometException.Closed> { it.ping() } }
    }

    @Test
    fun `what is closed says so, and may be closed again`() = test {
        val client = connect(server.host)
        val subscription = client.subscribe("web_closed", listening = listening)
        repeat(2) {
            subscription.disconnect()
            subscription.close()
            assertNull(subscription.next())
            assertEquals(emptyList(), subscription.nextBatch(7u))
            subscription.acknowledge(1u)
            subscription.setToken("too late")
            client.disconnect()
            client.close()
            assertFailsWith<CometException.Closed> { client.ping() }
            assertFailsWith<CometException.Closed> { client.subscribe("web_closed", listening = listening) }
        }
    }

    @Test
    fun `a blocking subscription that is closed says so`() {
        connectBlocking(server.host).use { client ->
            val subscription = client.subscribe("web_closed", listening = listening)
            repeat(2) {
                subscription.close()
                assertNull(subscription.next())
                assertEquals(emptyList(), subscription.nextBatch(7u))
                subscription.acknowledge(1u)
                subscription.setToken("too late")
            }
        }
    }

    @Test
    fun `connecting can be cancelled at any moment`() = Proxy(server.host).use { proxy ->
        cancelledAtEachMoment(proxy) { connect(proxy.host) }
    }

    @Test
    fun `subscribing can be cancelled at any moment`() = Proxy(server.browsers).use { proxy ->
        val listening = Listening(urls = listOf("ws://${proxy.host}"))
        cancelledAtEachMoment(proxy) { Subscription.open(listOf(ChannelSince("web_cancelled")), listening) }
    }

    /** Cancels it when it is about to go on for the first time, the second time, and so on until it comes to its end. */
    @OptIn(ExperimentalCoroutinesApi::class)
    private fun cancelledAtEachMoment(proxy: Proxy, make: suspend () -> AutoCloseable) {
        for (moment in 0..1_000) {
            val steps = Steps()
            val making = CoroutineScope(steps).async(start = CoroutineStart.UNDISPATCHED) { make() }
            var taken = 0
            while (taken++ < moment && !making.isCompleted) steps.next().run()
            if (making.isCompleted) {
                making.getCompleted().close()
                return proxy.awaitNobody()
            }
            val step = steps.next()
            making.cancel()
            step.run()
            while (!making.isCompleted) steps.next().run()
            assertFailsWith<CancellationException> { making.getCompleted() }
            proxy.awaitNobody()
        }
        error("it came to no end")
    }

    /** Coroutines here go on only step by step. */
    private class Steps : CoroutineDispatcher() {
        private val steps = LinkedBlockingQueue<Runnable>()

        override fun dispatch(context: CoroutineContext, block: Runnable) {
            steps.add(block)
        }

        fun next(): Runnable = checkNotNull(steps.poll(60, TimeUnit.SECONDS)) { "nothing more happens" }
    }

    private fun openFiles(): Int = checkNotNull(File("/proc/self/fd").list()).size
}
