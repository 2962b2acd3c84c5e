import CometQL
import XCTest

/// Calls whose answer does not come. (A task that is cancelled waits on: uniffi can't cancel in Swift.)
final class EndingTests: XCTestCase {
    func testAnAnswerThatComesTooLateIsNotWaitedFor() async throws {
        let server = try Server()
        let client = try await connect(server, options: Options(callTimeoutMs: 3_000))
        defer { client.close() }
        server.freeze()
        guard case .TimedOut = await failure(of: { try await client.publish("never answered", to: "web_news") }) else {
            return XCTFail("not timed out")
        }
        server.resume()
        try await client.ping()
    }

    func testCloseEndsCallsThatAreUnderWay() async throws {
        let server = try Server()
        let client = try await connect(server)
        server.freeze()
        // More than there are connections, so that some have been sent and others wait.
        let calls = (1...50).map { number in
            Task { await failure(of: { try await client.publish("message \(number)", to: "web_news") }) }
        }
        client.close()
        for call in calls {
            let error = await call.value
            XCTAssertEqual(error, .Closed)
        }
    }

    func testCloseEndsABlockingCallOfAnotherThread() throws {
        let server = try Server()
        let client = try connectBlocking(server)
        server.freeze()
        let ended = expectation(description: "the call ended")
        Thread {
            XCTAssertEqual(blockingFailure { try client.ping() }, .Closed)
            ended.fulfill()
        }.start()
        client.close()
        wait(for: [ended], timeout: 60)
    }
}
