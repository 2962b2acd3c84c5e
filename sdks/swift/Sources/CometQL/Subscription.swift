extension Subscription: AsyncSequence {
    /// What a subscription brings.
    public typealias Element = Event

    /// Asks for one event after the other.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let subscription: Subscription

        /// The next event; nil = the subscription was closed. When the task is cancelled, the subscription is closed: nothing else
        /// could end the wait.
        public func next() async throws -> Event? {
            try await withTaskCancellationHandler {
                try await subscription.next()
            } onCancel: {
                subscription.close()
            }
        }
    }

    /// All events until the subscription is closed, or the task that asks for them is cancelled.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(subscription: self) }
}

extension ChannelSince: ExpressibleByStringLiteral {
    /// What comes in this channel from now on.
    public init(stringLiteral channel: String) { self.init(channel: channel) }
}
