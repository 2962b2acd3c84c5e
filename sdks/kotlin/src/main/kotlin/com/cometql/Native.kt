package com.cometql

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
