list(APPEND DEMIT_DELIVERY_SOURCES delivery.c dsn.c maildir.c maildir_path.c maildir_store.c queue.c queue_bounce.c queue_destination.c queue_intake.c
     queue_look.c queue_move.c queue_reload.c queue_settle.c queued.c schedule.c throttle.c wheel.c)
