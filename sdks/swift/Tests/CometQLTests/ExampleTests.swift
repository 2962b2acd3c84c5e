import CometQL
import XCTest

final class ExampleTests: XCTestCase {
    /// The program as its users start it: a process that was built from the package.
    func testTheProgramGoesOnWhenOneOfTwoServersDiesInTheMiddleOfItsLoop() async throws {
        let (first, second) = (try Server(), try Server())
        let watcher = try await connect(first)
        defer { watcher.close() }
        try await watcher.setChannelSettings(channel: "web_news", settings: ChannelSettings(length: 100))
        let program = Process()
        program.executableURL = URL(fileURLWithPath: setting("COMETQL_EXAMPLE"))
        program.arguments = [first.host, second.host]
        program.environment = ["COMETQL_PASSWORD": Server.key]
        let said = Pipe()
        program.standardOutput = said
        try program.run()
        while try await watcher.history(channel: "web_news", page: HistoryPage()).publications.count < 50 {}
        first.kill()
        let lines = String(decoding: try said.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self).split(separator: "\n")
        program.waitUntilExit()
        XCTAssertEqual(program.terminationStatus, 0, lines.joined(separator: "\n"))
        XCTAssertEqual(lines.dropLast().map(String.init), (1...100).map { "sent \($0)" })
        XCTAssertEqual(lines.last, "online: []")
    }
}
