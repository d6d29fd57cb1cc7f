// Passes packets on between TUN devices, each after a delay: forwarder RANKS SECONDS BITS_PER_SECOND (0: no limit).
//
// Devices tun1 to tunRANKS belong to the addresses 10.77.0.1 and so on, and tun254 to mpiexec's, which is not delayed.
// Linux hands over up to 64 KB in one read (virtio's header says how they are to be cut), so that few calls move many
// bytes. What comes in at a rank from several others at once is limited to the rate as well: it leaves when the bytes
// before it would have come through. (What leaves a rank is limited by tc, within that rank's namespace.)

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

namespace {

constexpr int most = 65536 + 256;   // a packet's bytes, with virtio's header
constexpr int header = 10;          // of virtio: linux/virtio_net.h is not C++ everywhere
constexpr int outside = 254;

struct Packet {
  std::unique_ptr<char[]> bytes;
  int size;
  int64_t due;
};

struct Port {
  int file;
  int number;
  int64_t free_at = 0;
  std::deque<Packet> waiting;
};

int64_t now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int opened(int number) {
  int file = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  snprintf(request.ifr_name, IFNAMSIZ, "tun%d", number);
  if (file < 0 || ioctl(file, TUNSETIFF, &request) < 0 ||
      ioctl(file, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0) {
    perror("forwarder: /dev/net/tun");
    exit(1);
  }
  return file;
}

}  // namespace

int main(int count, char** words) {
  if (count != 4) return 2;
  const int ranks = atoi(words[1]);
  const int64_t delay = static_cast<int64_t>(atof(words[2]) * 1e9);
  const double rate = atof(words[3]);
  prctl(PR_SET_TIMERSLACK, 1UL);  // else Linux rounds sleeping times by 50 µs

  std::deque<Port> ports;
  for (int rank = 1; rank <= ranks + 1; ++rank) {
    ports.emplace_back();
    ports.back().number = rank <= ranks ? rank : outside;
    ports.back().file = opened(ports.back().number);
  }
  std::vector<pollfd> polled;
  for (const Port& port : ports) polled.push_back({port.file, POLLIN, 0});
  std::vector<std::unique_ptr<char[]>> spare;
  puts("ready");
  fflush(stdout);

  for (;;) {
    int64_t next = INT64_MAX;
    for (Port& port : ports) {
      while (!port.waiting.empty() && port.waiting.front().due <= now()) {
        Packet& packet = port.waiting.front();
        // A device that is not up yet refuses: TCP sends that again.
        if (write(port.file, packet.bytes.get(), packet.size) < 0 && errno != EIO && errno != EINVAL && errno != EAGAIN)
          perror("forwarder: write");
        spare.push_back(std::move(packet.bytes));
        port.waiting.pop_front();
      }
      if (!port.waiting.empty()) next = std::min(next, port.waiting.front().due);
    }
    timespec wait{};
    if (next != INT64_MAX) {
      const int64_t left = std::max<int64_t>(0, next - now());
      wait = {static_cast<time_t>(left / 1000000000), static_cast<long>(left % 1000000000)};
    }
    if (ppoll(polled.data(), polled.size(), next == INT64_MAX ? nullptr : &wait, nullptr) < 0) {
      perror("forwarder: poll");
      return 1;
    }
    for (size_t k = 0; k < ports.size(); ++k) {
      for (int turn = 0; turn < 8; ++turn) {  // then it is another port's turn
        if (!(polled[k].revents & POLLIN)) break;
        if (spare.empty()) spare.push_back(std::unique_ptr<char[]>(new char[most]));
        const int size = static_cast<int>(read(ports[k].file, spare.back().get(), most));
        if (size < header + 20) break;
        const char* packet = spare.back().get() + header;
        if ((packet[0] >> 4) != 4) continue;  // IPv6's announcements
        const int to = static_cast<unsigned char>(packet[19]);
        Port* port = to == outside ? &ports.back() : to >= 1 && to <= ranks ? &ports[to - 1] : nullptr;
        if (port == nullptr) continue;
        int64_t due = now();
        if (to != outside && ports[k].number != outside) {
          due = std::max(due + delay, port->free_at);
          if (rate > 0) port->free_at = due + static_cast<int64_t>((size - header) * 8 / rate * 1e9);
        }
        if (!port->waiting.empty()) due = std::max(due, port->waiting.back().due);
        port->waiting.push_back({std::move(spare.back()), size, due});
        spare.pop_back();
      }
    }
  }
}
