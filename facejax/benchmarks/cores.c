/* How long a cache line takes from one core to another: two threads, each held to a core, hand one
   flag to and fro. */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

typedef struct {
    _Alignas(128) atomic_int flag, failed;
    int rounds;
} shared;

typedef struct {
    shared *with;
    int core, mine;
    double seconds;
} player;

static int hold(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

static void *play(void *argument)
{
    player *self = argument;
    shared *with = self->with;
    if (hold(self->core)) atomic_store(&with->failed, 1);
    double begun = 0;
    for (int round = 0; round <= with->rounds; round++) {
        while (atomic_load(&with->flag) != self->mine)
            if (atomic_load(&with->failed)) return 0;
        if (round == 0) begun = now(); /* both are there */
        atomic_store(&with->flag, 1 - self->mine);
    }
    self->seconds = now() - begun;
    return 0;
}

/* Seconds of one way, on average over `rounds` to and fro; negative where the threads cannot be
   started or held. */
double exchange(int one, int other, int rounds)
{
    shared with = {0, 0, rounds};
    player players[2] = {{&with, one, 0, 0}, {&with, other, 1, 0}};
    pthread_t threads[2];
    int begun = 0;
    for (; begun < 2; begun++)
        if (pthread_create(&threads[begun], 0, play, &players[begun])) break;
    if (begun < 2) atomic_store(&with.failed, 1);
    for (int k = 0; k < begun; k++) pthread_join(threads[k], 0);
    return atomic_load(&with.failed) ? -1 : players[0].seconds / (2.0 * rounds);
}
