package com.cometql.testing

import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread

/** Stands between a client and a server, and can keep to itself what the server answers. */
class Proxy(private val target: String) : AutoCloseable {
    private val listener = ServerSocket(0, 50, InetAddress.getLoopbackAddress())
    private val sockets = CopyOnWriteArrayList<Socket>()

    private val connected = AtomicInteger()

    @Volatile
    private var gate = CountDownLatch(0)

    @Volatile
    private var asked = CountDownLatch(0)

    /** Where clients connect. */
    val host: String = "127.0.0.1:${listener.localPort}"

    init {
        thread(isDaemon = true) {
            while (true) {
                val client = runCatching { listener.accept() }.getOrNull() ?: return@thread
                val (name, port) = target.split(":")
                val server = Socket(name, port.toInt())
                sockets += listOf(client, server)
                connected.incrementAndGet()
                copy(client, server, { asked.countDown() }) { connected.decrementAndGet() }
                copy(server, client, { gate.await() }) {}
            }
        }
    }

    /** From now on no answer comes through. */
    fun stall() {
        asked = CountDownLatch(1)
        gate = CountDownLatch(1)
    }

    /** Returns when something was asked since [stall]. */
    fun awaitQuestion(): Unit = asked.await()

    /** Returns when no client is connected any more. */
    fun awaitNobody() {
        val until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60)
        while (connected.get() > 0) {
            check(System.nanoTime() < until) { "${connected.get()} clients are still connected" }
            Thread.yield()
        }
    }

    /** Lets through what has waited. */
    fun resume(): Unit = gate.countDown()

    override fun close() {
        resume()
        listener.close()
        sockets.forEach { it.close() }
    }

    private fun copy(from: Socket, to: Socket, before: () -> Unit, after: () -> Unit) {
        thread(isDaemon = true) {
            runCatching {
                val bytes = ByteArray(65_536)
                while (true) {
                    val count = from.getInputStream().read(bytes)
                    if (count < 0) break
                    before()
                    to.getOutputStream().write(bytes, 0, count)
                }
            }
            // Who has lost one side loses the other one, too.
            from.close()
            to.close()
            after()
        }
    }
}
