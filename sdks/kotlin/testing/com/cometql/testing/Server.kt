package com.cometql.testing

import java.io.File
import java.net.InetAddress
import java.net.Socket
import java.nio.file.Files
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.TimeUnit

/** A CometQL server: a process of its own, with data of its own, on ports that nobody else takes while it is dead. */
class Server private constructor(private val ports: List<Int>) : AutoCloseable {
    private val folder: File = Files.createTempDirectory("cometql-kotlin").toFile()
    private var process: Process = launch()

    /** Where backends connect, `host:port`. */
    val host: String = "127.0.0.1:${ports[0]}"

    /** Where browsers connect, `host:port`. */
    val browsers: String = "127.0.0.1:${ports[1]}"

    /** Ends it at once, as a crash does. */
    fun kill() {
        process.destroyForcibly().waitFor()
    }

    /** Starts it again after [kill], on the same ports and data. */
    fun restart() {
        process = launch()
    }

    override fun close() {
        kill()
        folder.deleteRecursively()
        free.add(ports)
    }

    private fun launch(): Process {
        val addresses = ports.map { "127.0.0.1:$it" }
        val process = ProcessBuilder(
            setting("COMETQL_BINARY"), "serve", "--password", KEY,
            "--mysql", addresses[0], "--http", addresses[1], "--admin", addresses[2],
            "--data-dir", File(folder, "data").path, "--config", settings().path,
        ).redirectErrorStream(true).redirectOutput(File(folder, "said")).start()
        // Neither does it outlive a test that is interrupted.
        Runtime.getRuntime().addShutdownHook(Thread { process.destroyForcibly() })
        ports.forEach { awaitPort(it, process) }
        return process
    }

    /** With a tenant that has a key of its own, so that the other key is not that of the whole node. */
    private fun settings(): File =
        File(folder, "cometql.toml").apply { writeText("[tenants.7]\nkeys = [\"only for the tests of tenant seven\"]\n") }

    private fun awaitPort(port: Int, process: Process) {
        val until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60)
        while (!listens(port)) {
            check(process.isAlive && System.nanoTime() < until) { "nothing listens on $port: ${File(folder, "said").readText()}" }
            process.waitFor(20, TimeUnit.MILLISECONDS)
        }
    }

    private fun listens(port: Int): Boolean =
        runCatching { Socket(InetAddress.getLoopbackAddress(), port).close() }.isSuccess

    companion object {
        /** The key of every server here. */
        const val KEY: String = "kotlin-tests-only"

        private val free = ConcurrentLinkedQueue(setting("COMETQL_PORTS").split(",").map(String::toInt).chunked(3))

        /** Starts one. */
        fun start(): Server = Server(checkNotNull(free.poll()) { "COMETQL_PORTS has no more ports" })

        /** What `cargo xtask sdks` tells the tests. */
        fun setting(name: String): String =
            checkNotNull(System.getenv(name)) { "$name is not set: run the tests by cargo xtask sdks --only kotlin" }
    }
}
