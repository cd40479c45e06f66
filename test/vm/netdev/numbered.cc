// SPDX-License-Identifier: BSD-3-Clause

// Sends numbered frames both ways between two netdevs, and accounts for every frame.
//
// usage: numbered WINDOW NETDEV[@NAMESPACE] NETDEV[@NAMESPACE]
//
// Each netdev sends to the other. A frame has a direction, a 64-bit number, and a length and
// content that follow from the number. WINDOW frames are under way each way at any time, and they
// fit into the rings: so no frame is lost for lack of room, and a sender waits while its frames are
// not taken.
//
// It prints a line for each line on stdin. For each direction, counted since the last line: frames
// received, numbers missing, repeated and late, frames with wrong content, and the longest time
// in µs without a frame. The last number is how many frames are under way. After the line `stop`
// it sends no more frames.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint16_t kEtherType = 0x88B5;  // for local experiments: nobody else here sends it
constexpr std::array<size_t, 4> kLengths = {60, 61, 590, 1514};
constexpr size_t kLongest = 1514;
constexpr unsigned kBatch = 32;
constexpr int kReceiveBytes = 64 << 20;

[[noreturn]] void die(const std::string& what) {
    std::printf("FAIL: numbered: %s: %s\n", what.c_str(), std::strerror(errno));
    std::exit(1);
}

struct [[gnu::packed]] Frame {
    ether_header ether;
    uint8_t direction;
    uint64_t number;
    std::array<uint8_t, kLongest - sizeof(ether_header) - sizeof(uint64_t) - 1> rest;
};
static_assert(sizeof(Frame) == kLongest);

size_t length_of(uint64_t number) {
    return kLengths[number % kLengths.size()];
}

/// The content of a frame after its number.
const uint8_t* content_of(uint64_t number) {
    static const auto bytes = [] {
        std::array<uint8_t, kLongest + 256> all{};
        for (size_t i = 0; i < all.size(); ++i)
            all[i] = static_cast<uint8_t>(i);
        return all;
    }();
    return &bytes[number % 256];
}

bool is_intact(const Frame& frame, size_t length) {
    return length == length_of(frame.number) &&
           std::memcmp(
               frame.rest.data(), content_of(frame.number), length - offsetof(Frame, rest)
           ) == 0;
}

/// A raw socket on NETDEV[@NAMESPACE]. It stays in the namespace in which it was created.
struct Link {
    int socket = -1;
    std::array<uint8_t, ETH_ALEN> mac{};

    void open(const std::string& place) {
        const auto at = place.find('@');
        const std::string netdev = place.substr(0, at);
        const int home = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (at != std::string::npos)
            enter(::open(("/run/netns/" + place.substr(at + 1)).c_str(), O_RDONLY | O_CLOEXEC));
        socket = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(kEtherType));
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(kEtherType);
        address.sll_ifindex = static_cast<int>(::if_nametoindex(netdev.c_str()));
        ifreq request{};
        netdev.copy(request.ifr_name, IFNAMSIZ - 1);
        if (socket < 0 || address.sll_ifindex == 0 ||
            ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            ::ioctl(socket, SIOCGIFHWADDR, &request) != 0 ||
            ::setsockopt(
                socket, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof kReceiveBytes
            ) != 0)
            die(place);
        std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
        enter(home);
    }

    /// Frames that the kernel dropped after the driver, because the socket was full. They would
    /// look lost.
    [[nodiscard]] unsigned overruns() const {
        tpacket_stats stats{};
        socklen_t size = sizeof stats;
        if (::getsockopt(socket, SOL_PACKET, PACKET_STATISTICS, &stats, &size) != 0)
            die("PACKET_STATISTICS");
        return stats.tp_drops;
    }

  private:
    static void enter(int space) {
        if (space < 0 || ::setns(space, CLONE_NEWNET) != 0)
            die("namespace");
        ::close(space);
    }
};

/// Buffers to send or receive many frames in one system call.
struct Batch {
    std::array<Frame, kBatch> frames{};
    std::array<iovec, kBatch> pieces{};
    std::array<mmsghdr, kBatch> messages{};

    Batch() {
        for (unsigned i = 0; i < kBatch; ++i) {
            pieces[i] = {&frames[i], sizeof(Frame)};
            messages[i].msg_hdr.msg_iov = &pieces[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
    }
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;
    ~Batch() = default;
};

class Direction {
  public:
    Direction(uint8_t number, const Link& from, const Link& to, uint64_t window)
        : number_(number), from_(from), to_(to), window_(window) {
        for (Frame& frame : out_.frames) {
            std::ranges::copy(to.mac, frame.ether.ether_dhost);
            std::ranges::copy(from.mac, frame.ether.ether_shost);
            frame.ether.ether_type = htons(kEtherType);
            frame.direction = number;
        }
    }

    /// Whether there is room in the window.
    [[nodiscard]] bool wants_to_send() const { return sent_ - next_ < window_ + extra_; }

    /// Called once a second. If no frame has arrived, one more frame may be sent beyond the window.
    void tick() {
        extra_ = next_ == next_then_ ? extra_ + 1 : 0;
        next_then_ = next_;
    }

    void send() {
        while (wants_to_send()) {
            const auto count =
                static_cast<unsigned>(std::min<uint64_t>(window_ + extra_ - (sent_ - next_), kBatch)
                );
            for (unsigned i = 0; i < count; ++i) {
                out_.frames[i].number = sent_ + i;
                const size_t length = length_of(sent_ + i);
                std::memcpy(
                    out_.frames[i].rest.data(),
                    content_of(sent_ + i),
                    length - offsetof(Frame, rest)
                );
                out_.pieces[i].iov_len = length;
            }
            const int done = ::sendmmsg(from_.socket, out_.messages.data(), count, 0);
            if (done < 0 && errno != EAGAIN && errno != ENOBUFS)
                die("sendmmsg");
            if (done <= 0)
                return;
            sent_ += static_cast<unsigned>(done);
        }
    }

    void receive() {
        int count = 0;
        do {
            count = ::recvmmsg(to_.socket, in_.messages.data(), kBatch, 0, nullptr);
            if (count < 0 && errno != EAGAIN)
                die("recvmmsg");
            for (int i = 0; i < count; ++i)
                take(in_.frames[static_cast<size_t>(i)], in_.messages[static_cast<size_t>(i)]);
        } while (count == static_cast<int>(kBatch));
    }

    void print() {
        std::printf(
            "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %lld ",
            received_,
            missing_,
            repeated_,
            late_,
            damaged_ + to_.overruns(),
            static_cast<long long>(pause_.count())
        );
        received_ = missing_ = repeated_ = late_ = damaged_ = 0;
        pause_ = {};
    }
    [[nodiscard]] uint64_t under_way() const { return sent_ - next_; }

  private:
    static constexpr size_t kRemembered = 1 << 16;

    void take(const Frame& frame, const mmsghdr& message) {
        const auto now = Clock::now();
        if (last_ != Clock::time_point())
            pause_ = std::max(
                pause_, std::chrono::duration_cast<std::chrono::microseconds>(now - last_)
            );
        last_ = now;
        ++received_;
        const uint64_t number = frame.number;
        if (frame.direction != number_ || number >= sent_ || !is_intact(frame, message.msg_len)) {
            ++damaged_;
            return;
        }
        if (next_ < number)
            std::fprintf(
                stderr,
                "numbered: direction %u: %" PRIu64 " to %" PRIu64 " passed over\n",
                number_,
                next_,
                number - 1
            );
        for (; next_ < number; ++next_) {
            ++missing_;
            seen_[next_ % kRemembered] = false;
        }
        if (number == next_) {
            ++next_;
        } else if (seen_[number % kRemembered]) {
            ++repeated_;
        } else {
            ++late_;
        }
        seen_[number % kRemembered] = true;
    }

    const uint8_t number_;
    const Link& from_;
    const Link& to_;
    const uint64_t window_;
    uint64_t sent_ = 0;
    uint64_t next_ = 0;  ///< one more than the highest number that was received
    uint64_t next_then_ = 0;
    uint64_t extra_ = 0;  ///< what may be sent beyond the window
    std::bitset<kRemembered> seen_;
    Clock::time_point last_;
    uint64_t received_ = 0, missing_ = 0, repeated_ = 0, late_ = 0, damaged_ = 0;
    std::chrono::microseconds pause_{};
    Batch out_;
    Batch in_;
};

void run(uint64_t window, const std::string& first, const std::string& second) {
    std::array<Link, 2> links;
    links[0].open(first);
    links[1].open(second);
    std::array<Direction, 2> directions = {
        Direction(0, links[0], links[1], window), Direction(1, links[1], links[0], window)};
    bool sends = true;
    Clock::time_point next_tick = Clock::now() + std::chrono::seconds(1);
    for (;;) {
        std::array<pollfd, 3> polled{};
        polled[0] = {STDIN_FILENO, POLLIN, 0};
        for (size_t i = 0; i < 2; ++i) {
            const bool room = sends && directions[i].wants_to_send();
            polled[1 + i] = {links[i].socket, static_cast<short>(POLLIN | (room ? POLLOUT : 0)), 0};
        }
        if (::poll(polled.data(), polled.size(), 1000) < 0)
            die("poll");
        if (const auto now = Clock::now(); now >= next_tick) {
            for (Direction& direction : directions)
                direction.tick();
            next_tick = now + std::chrono::seconds(1);
        }
        for (Direction& direction : directions) {
            direction.receive();
            if (sends)
                direction.send();
        }
        if (polled[0].revents == 0)
            continue;
        std::array<char, 64> line{};
        if (std::fgets(line.data(), line.size(), stdin) == nullptr)
            return;
        sends = sends && std::strcmp(line.data(), "stop\n") != 0;
        for (Direction& direction : directions)
            direction.print();
        std::printf("%" PRIu64 "\n", directions[0].under_way() + directions[1].under_way());
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::setvbuf(stdin, nullptr, _IONBF, 0);
    if (argc != 4)
        return 2;
    run(std::strtoull(argv[1], nullptr, 10), argv[2], argv[3]);
    return 0;
}
