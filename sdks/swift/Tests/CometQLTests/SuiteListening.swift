import CometQL

/// What a case listens with, for as long as it lasts.
final class Heard<S> {
    /// What it subscribed with last.
    var subscription: S!
    /// The offset of the last message that came.
    private(set) var offset: UInt64 = 0

    /// The line of the next event that has one; nil = the subscription was closed.
    func next(_ event: (S) async throws -> Event?) async throws -> String? {
        while let event = try await event(subscription) {
            if let line = line(event) { return line }
        }
        return nil
    }

    /// An event as the suite writes it; nil = the suite leaves it out.
    private func line(_ event: Event) -> String? {
        switch event {
        case let .subscribed(channel, _, _): return "subscribed \(channel)"
        case let .publication(received): return "publication \(received.channel) \(received.event) \(received.message)"
        case let .message(message):
            offset = message.offset
            return "message \(message.event) \(message.message)"
        case let .refused(channel, code, _): return "refused \(channel) \(code)"
        case let .trouble(code, _): return "trouble \(code)"
        case .online, .offline: return nil
        default: fatalError("the suite does not know \(event)")
        }
    }
}
