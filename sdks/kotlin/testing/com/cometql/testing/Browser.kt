package com.cometql.testing

import java.net.URI
import java.net.http.HttpClient
import java.net.http.WebSocket
import java.util.concurrent.BlockingQueue
import java.util.concurrent.CompletionStage
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit

/** A page that has subscribed to a channel: [next] is what it sees. */
class Browser private constructor(private val socket: WebSocket, private val seen: BlockingQueue<String>) : AutoCloseable {
    /** The next message from the server, as it stands in the frame. */
    fun next(): String = checkNotNull(seen.poll(60, TimeUnit.SECONDS)) { "no message came" }

    override fun close(): Unit = socket.abort()

    companion object {
        /** Connects to [server] and returns once the server has confirmed the subscription. */
        fun open(server: String, channel: String): Browser {
            val seen = LinkedBlockingQueue<String>()
            val socket = HttpClient.newHttpClient().newWebSocketBuilder()
                .buildAsync(URI("ws://$server/connect?v=1"), Listener(seen)).get(60, TimeUnit.SECONDS)
            socket.sendText("""{"id":1,"subscribe":"$channel"}""", true).get(60, TimeUnit.SECONDS)
            val browser = Browser(socket, seen)
            val reply = browser.next()
            check("\"subscribed\"" in reply) { "not subscribed: $reply" }
            return browser
        }
    }

    private class Listener(private val seen: BlockingQueue<String>) : WebSocket.Listener {
        private val frame = StringBuilder()

        override fun onText(socket: WebSocket, text: CharSequence, last: Boolean): CompletionStage<*>? {
            frame.append(text)
            if (last) {
                seen.add(frame.toString())
                frame.clear()
            }
            socket.request(1)
            return null
        }
    }
}
