package com.cometql

import com.cometql.testing.Server
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlin.time.Duration.Companion.seconds

/** A client of these hosts with the key of the tests. */
internal suspend fun connect(vararg hosts: String, options: Options = Options()): Client =
    Client.connect(hosts.asList(), "root", Server.KEY, "CometQL_v1", options)

/** The same, blocking. */
internal fun connectBlocking(vararg hosts: String, options: Options = Options()): BlockingClient =
    BlockingClient.connect(hosts.asList(), "root", Server.KEY, "CometQL_v1", options)

/** Runs a test that suspends; one that hangs fails. */
internal fun test(block: suspend CoroutineScope.() -> Unit): Unit =
    runBlocking { withTimeout(120.seconds, block) }

/** The first event of this kind. */
internal suspend inline fun <reified E : Event> Flow<Event>.firstOf(): E = filterIsInstance<E>().first()
