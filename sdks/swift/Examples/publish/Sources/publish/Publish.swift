import CometQL
import Foundation

@main struct Publish {
    static func main() async throws {
        let key = ProcessInfo.processInfo.environment["COMETQL_PASSWORD"] ?? ""
        let client = try await Client.connect(hosts: Array(CommandLine.arguments.dropFirst()), user: "root", password: key)
        defer { client.close() }
        for number in 1...100 {
            try await client.publish("message \(number)", to: "web_news", event: "headline")
            print("sent \(number)")
            try await Task.sleep(nanoseconds: 20_000_000)
        }
        print("online:", try await client.online(users: [1, 2, 3]))
    }
}
