package com.cometql

/** The value as Kotlin knows it: null, Long, Double, String or ByteArray. */
public fun Value.toKotlin(): Any? = when (this) {
    is Value.Null -> null
    is Value.Int -> value
    is Value.Float -> value
    is Value.Text -> value
    is Value.Blob -> value
}

/** The rows, each as a map from the name of a column to a value as [toKotlin] gives it. */
public fun Answer.toMaps(): List<Map<String, Any?>> =
    rows.map { row -> columns.zip(row.map(Value::toKotlin)).toMap() }

/** What is bound to a `?`. */
internal fun valueOf(value: Any?): Value = when (value) {
    null -> Value.Null
    is Value -> value
    is Boolean -> Value.Int(if (value) 1L else 0L)
    is Byte, is Short, is Int, is Long -> Value.Int((value as Number).toLong())
    is UByte -> Value.Int(value.toLong())
    is UShort -> Value.Int(value.toLong())
    is UInt -> Value.Int(value.toLong())
    is ULong -> if (value <= Long.MAX_VALUE.toULong()) Value.Int(value.toLong()) else Value.Text(value.toString())
    is Float, is Double -> Value.Float((value as Number).toDouble())
    is CharSequence, is Char -> Value.Text(value.toString())
    is ByteArray -> Value.Blob(value)
    else -> throw CometException.Invalid("a ${value::class.simpleName} can't be bound: give a number, text, bytes or null")
}

