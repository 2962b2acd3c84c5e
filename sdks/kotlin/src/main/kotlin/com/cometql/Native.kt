package com.cometql

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.withContext
import kotlin.coroutines.ContinuationInterceptor

// The objects of the native library are called NativeClient and so on here (sdk-gen/uniffi.toml), because their close() would
// only forget them. uniffi renames a class everywhere but where its constructors return it: what they return is made here.

internal object FfiConverterTypeClient {
    fun lift(handle: Long): Client = Client(NativeClient(UniffiWithHandle, handle))
}

internal object FfiConverterTypeBlockingClient {
    fun lift(handle: Long): BlockingClient = BlockingClient(NativeBlockingClient(UniffiWithHandle, handle))
}

internal object FfiConverterTypeSubscription {
    fun lift(handle: Long): Subscription = Subscription(NativeSubscription(UniffiWithHandle, handle))
}

internal object FfiConverterTypeBlockingSubscription {
    fun lift(handle: Long): BlockingSubscription = BlockingSubscription(NativeBlockingSubscription(UniffiWithHandle, handle))
}

/**
 * An object of the native library, with memory and files of the system, which are given back when it is closed: a collector
 * of garbage comes late, or never.
 */
internal class Held<N : Disposable>(val native: N) {
    @Volatile
    private var freed = false

    /** Carries out a call, or says [closed] if the object is no longer there. */
    inline fun <T> call(closed: () -> T, call: (N) -> T): T = try {
        call(native)
    } catch (error: IllegalStateException) {
        if (wasFree(error)) closed() else throw error
    }

    /** The object goes when the calls that are under way have ended. */
    fun free() {
        freed = true
        native.destroy()
    }

    /** Whether a call failed for this reason. */
    fun wasFree(error: IllegalStateException): Boolean = freed && error !is CancellationException
}

/**
 * Carries out a call of the native library, which resumes coroutines in its own thread: there is one for all calls, and their
 * time-outs. Where the context would go on in that thread, one of [Dispatchers.Default] takes over, so that what follows may block.
 */
internal suspend fun <T> awaited(call: suspend () -> T): T {
    val context = currentCoroutineContext()
    val dispatcher = context[ContinuationInterceptor] as? CoroutineDispatcher
    val dispatches = dispatcher != null && dispatcher.isDispatchNeeded(context)
    return if (dispatches) call() else withContext(Dispatchers.Default) { call() }
}

/**
 * Makes an object of the native library. When the caller is cancelled, it is made all the same and then closed: uniffi would
 * forget one that was ready at that moment.
 */
@OptIn(ExperimentalCoroutinesApi::class)
internal suspend fun <T : AutoCloseable> made(make: suspend () -> T): T {
    val making = makers.async { make() }
    try {
        return making.await()
    } catch (cancelled: CancellationException) {
        making.invokeOnCompletion { failure -> if (failure == null) making.getCompleted().close() }
        throw cancelled
    }
}

private val makers = CoroutineScope(SupervisorJob() + Dispatchers.Default)
