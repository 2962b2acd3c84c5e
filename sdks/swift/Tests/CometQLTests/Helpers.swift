import CometQL
import XCTest

/// A client of these servers.
func connect(_ servers: Server..., options: Options = Options()) async throws -> Client {
    try await Client.connect(hosts: servers.map(\.host), user: "root", password: Server.key, options: options)
}

/// The same, blocking.
func connectBlocking(_ servers: Server..., options: Options = Options()) throws -> BlockingClient {
    try BlockingClient.connect(hosts: servers.map(\.host), user: "root", password: Server.key, options: options)
}

/// The error that a call must end with.
func failure<T>(
    of call: () async throws -> T, file: StaticString = #filePath, line: UInt = #line
) async -> CometError? {
    do {
        let answer = try await call()
        XCTFail("it did not fail, but answered \(answer)", file: file, line: line)
    } catch let error as CometError {
        return error
    } catch {
        XCTFail("not a CometError: \(error)", file: file, line: line)
    }
    return nil
}

/// The same for a call that blocks.
func blockingFailure<T>(of call: () throws -> T, file: StaticString = #filePath, line: UInt = #line) -> CometError? {
    var found: CometError?
    XCTAssertThrowsError(try call(), file: file, line: line) { found = $0 as? CometError }
    return found
}
