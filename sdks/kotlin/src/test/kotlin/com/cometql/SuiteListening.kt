package com.cometql

/** What a case listens with, for as long as it lasts. */
internal class Heard<S : Any> {
    /** What it subscribed with last. */
    lateinit var subscription: S
        private set

    /** The offset of the last message that came. */
    var offset = 0uL
        private set

    fun starts(subscription: S) {
        this.subscription = subscription
    }

    /** The line of the next event that has one; null = the subscription was closed. */
    inline fun next(event: (S) -> Event?): String? {
        while (true) {
            val line = line(event(subscription) ?: return null)
            if (line != null) return line
        }
    }

    /** An event as the suite writes it; null = the suite leaves it out. */
    fun line(event: Event): String? = when (event) {
        is Event.Subscribed -> "subscribed ${event.channel}"
        is Event.Publication -> event.publication.run { "publication $channel ${this.event} $message" }
        is Event.Message -> event.message.run { "message ${this.event} $message" }.also { offset = event.message.offset }
        is Event.Refused -> "refused ${event.channel} ${event.code}"
        is Event.Trouble -> "trouble ${event.code}"
        is Event.Online, is Event.Offline -> null
        else -> error("the suite does not know $event")
    }
}
