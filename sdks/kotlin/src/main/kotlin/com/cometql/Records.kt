package com.cometql

import kotlin.time.Duration
import kotlin.time.Duration.Companion.hours
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds

// Generated records have unsigned numbers, and times in milliseconds. These make the same ones from what programs have: `Long`
// and `Duration`. A number that is not valid is refused when the record is used.

/** How a client behaves: [Options], with a [Duration] for each time. */
public fun Options(
    callTimeout: Duration,
    tls: Tls? = null,
    connectTimeout: Duration = 3.seconds,
    maxConnections: Int = 10,
    idleCheck: Duration = 5.seconds,
    idleClose: Duration = 5.minutes,
    backOffMin: Duration = 100.milliseconds,
    backOffMax: Duration = 10.seconds,
    spread: Boolean = false,
): Options = Options(
    tls = tls,
    callTimeoutMs = ms(callTimeout),
    connectTimeoutMs = ms(connectTimeout),
    maxConnections = maxConnections.toUInt(),
    idleCheckMs = ms(idleCheck),
    idleCloseMs = ms(idleClose),
    backOffMinMs = ms(backOffMin),
    backOffMaxMs = ms(backOffMax),
    spread = spread,
)

/** What a token says: [Claims], whose life is a [Duration] of whole seconds. */
public fun Claims(
    user: Long,
    life: Duration = 1.hours,
    tenant: Int? = null,
    issuer: String? = null,
    audience: String? = null,
    further: String = "",
): Claims = Claims(user.toULong(), life.inWholeSeconds.toULong(), tenant?.toUInt(), issuer, audience, further)

/** A private message to a user: [NewPrivateMessage]. */
public fun NewPrivateMessage(user: Long, message: String, event: String = "", id: String? = null): NewPrivateMessage =
    NewPrivateMessage(user.toULong(), message, event, id)

/** A negative time becomes one that is too long. */
private fun ms(time: Duration): ULong = time.inWholeMilliseconds.toULong()
