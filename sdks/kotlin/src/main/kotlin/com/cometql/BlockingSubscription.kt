package com.cometql

import kotlin.time.Duration

/**
 * As [Subscription]; its calls block their thread.
 *
 * `Thread.interrupt` ends no wait, and a virtual thread that waits keeps its carrier: wait with [nextWithin], or [close] the
 * subscription in another thread.
 */
public class BlockingSubscription internal constructor(native: NativeBlockingSubscription) : AutoCloseable {
    private val held = Held(native)

    /** The next event; waits for it. null = the subscription was closed. See [Subscription.next]. */
    public fun next(): Event? = held.call({ null }) { it.next() }

    /** The next events, at least one and at most [most]. None at all = the subscription was closed. */
    public fun nextBatch(most: UInt): List<Event> = held.call({ emptyList() }) { it.nextBatch(most) }

    /** As [next], but waits no longer than [time]: null = nothing came, or the subscription was closed. */
    public fun nextWithin(time: Duration): Event? = held.call({ null }) {
        it.nextWithin(1u, time.inWholeMilliseconds.coerceAtLeast(0).toULong())?.firstOrNull()
    }

    /**
     * All events until the subscription is closed. With an inbox, handle each before you take the next one, which acknowledges it:
     * operators that take several at once (`chunked`, `toList`) do that too early, unless you acknowledge by hand.
     */
    public fun events(): Sequence<Event> = generateSequence { next() }

    /** Says that a private message is handled. The server forgets it when all before it are handled, too. */
    public fun acknowledge(offset: ULong): Unit = held.call({}) { it.acknowledge(offset) }

    /** A newer token for the same user: the server is told at once, without an interruption. */
    public fun setToken(token: String): Unit = held.call({}) { it.setToken(token) }

    /**
     * Ends listening. Who waits for an event gets null at once. Returns when the server knows of everything that was
     * acknowledged, after 3 seconds at the latest.
     */
    override fun close() {
        held.call({}) { it.disconnect() }
        held.free()
    }

    public companion object {
        /** Starts to listen without a client; see [Subscription.open]. */
        public fun open(channels: List<ChannelSince>, listening: Listening): BlockingSubscription =
            NativeBlockingSubscription.open(channels, listening)
    }
}
