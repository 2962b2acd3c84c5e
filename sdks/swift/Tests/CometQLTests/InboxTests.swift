import CometQL
import XCTest

/// Private messages come until they were handled, and not again.
final class InboxTests: XCTestCase {
    private struct Failed: Error {}

    func testALoopAcknowledgesWhatWasHandled() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        try await send(["one", "two", "three"], by: client)
        var handled: [String] = []
        let first = try await client.subscribe(channels: [], listening: inbox(server))
        do {
            for try await case let .message(message) in first {
                if message.message == "two" { throw Failed() }
                handled.append(message.message)
            }
        } catch is Failed {}
        await first.disconnect()
        let second = try await client.subscribe(channels: [], listening: inbox(server))
        for try await case let .message(message) in second {
            handled.append(message.message)
            if message.message == "three" {
                // A loop that is left with `break` has not handled its last message.
                second.acknowledge(offset: message.offset)
                break
            }
        }
        await second.disconnect()
        XCTAssertEqual(handled, ["one", "two", "three"])
        try await send(["four"], by: client)
        let next = try await firstMessage(client, server)
        XCTAssertEqual(next, "four")
    }

    func testByHandOnlyWhatIsAcknowledgedIsForgotten() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        try await send(["one", "two", "three"], by: client)
        let subscription = try await client.subscribe(channels: [], listening: inbox(server, byHand: true))
        var seen: [PrivateMessage] = []
        while seen.count < 3 {
            for case let .message(message) in try await subscription.nextBatch(most: 10) { seen.append(message) }
        }
        XCTAssertEqual(seen.map(\.message), ["one", "two", "three"])
        subscription.acknowledge(offset: seen[0].offset)
        await subscription.disconnect()
        let next = try await firstMessage(client, server)
        XCTAssertEqual(next, "two")
    }

    func testABlockingLoopAcknowledgesWhatWasHandled() async throws {
        let server = try Server()
        let client = try await connect(server)
        defer { client.close() }
        try await send(["one", "two", "three"], by: client)
        try blockingLoop(server)
        let next = try await firstMessage(client, server)
        XCTAssertEqual(next, "three")
    }

    /// Handles two messages: to ask for the third one says that the second one was handled.
    private func blockingLoop(_ server: Server) throws {
        let subscription = try BlockingSubscription.open(channels: [], listening: inbox(server))
        defer { subscription.close() }
        while let event = try subscription.next() {
            if case let .message(message) = event, message.message == "three" { return }
        }
        XCTFail("it came to its end")
    }

    private func inbox(_ server: Server, byHand: Bool = false) -> Listening {
        Listening(
            urls: ["ws://\(server.browsers)"], credentials: .hash(user: 7, hash: "hash7"), inbox: true,
            acknowledgeByHand: byHand)
    }

    private func send(_ messages: [String], by client: Client) async throws {
        try await client.authorize(user: 7, hash: "hash7")
        for message in messages {
            _ = try await client.sendToUser(message: NewPrivateMessage(user: 7, message: message))
        }
    }

    private func firstMessage(_ client: Client, _ server: Server) async throws -> String? {
        let subscription = try await client.subscribe(channels: [], listening: inbox(server, byHand: true))
        defer { subscription.close() }
        for try await case let .message(message) in subscription { return message.message }
        return nil
    }
}
