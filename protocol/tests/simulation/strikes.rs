//! Faults that strike at once: crashes, machines that go on from where they were saved, spools and logs that go
//! back.

use super::{Fault, Node, World};

impl World {
    pub(super) fn strike(&mut self, agent: usize, node: usize) {
        let resumed = self.agents[agent].is_resumed;
        if self.random.once_in(6) && !resumed {
            let copy = self.agents[agent].disk.clone();
            self.agents[agent].copies.push(copy);
        }
        self.agents[agent].start();
        if self.strikes(self.faults.crash) && !resumed {
            self.agents[agent].crash();
            self.note(Fault::AgentCrash);
        }
        if self.strikes(self.faults.node_crash) {
            self.nodes[node].crash();
            self.note(Fault::NodeCrash);
        }
        if self.strikes(self.faults.pause) {
            self.nodes[node].paused = !self.nodes[node].paused;
            self.note(Fault::NodePause);
        }
        if self.strikes(self.faults.full) && self.agents[agent].drop_oldest(&mut self.witness) > 0 {
            self.note(Fault::SpoolFull);
        }
        if self.strikes(self.faults.rollback) && !self.agents[agent].copies.is_empty() {
            let copy = self.random.below(self.agents[agent].copies.len());
            self.agents[agent].roll_back(copy, &mut self.witness);
            self.note(Fault::SpoolRolledBack);
        }
        if self.strikes(self.faults.lost) {
            self.agents[agent].lose_spool(&mut self.random, &mut self.witness);
            self.note(Fault::SpoolLost);
        }
        if self.strikes(self.faults.trim) && self.log.trim() {
            self.note(Fault::Trimmed);
        }
        if self.strikes(self.faults.tail) {
            self.lose_tail();
        }
        if self.faults.resume != 0 {
            self.save_or_resume(agent);
        }
        if self.faults.restore != 0 && self.random.once_in(20) {
            self.backups.push(self.log.back_up());
        }
        if self.strikes(self.faults.restore) && !self.backups.is_empty() {
            self.restore();
        }
    }

    /// A machine is saved; a saved one goes on, with its process or from its disk alone.
    fn save_or_resume(&mut self, agent: usize) {
        if self.random.once_in(10) {
            self.agents[agent].save();
        }
        let saved = self.agents[agent].saved.len();
        if !self.strikes(self.faults.resume) || saved == 0 {
            return;
        }
        let chosen = self.random.below(saved);
        let (with_files, with_process) = (!self.random.once_in(4), !self.random.once_in(3));
        let how = (with_files, with_process);
        let with_process = self.agents[agent].resume(chosen, how, &mut self.witness);
        self.note(match (with_files, with_process) {
            (true, true) => Fault::HostResumed,
            (true, false) => Fault::HostRestored,
            (false, true) => Fault::MemoryResumed,
            (false, false) => Fault::SpoolRolledBack,
        });
    }

    /// Every node stops, a backup is put in the log's place, and the nodes start from that: nothing that is
    /// left remembers what it lacks but the agents.
    fn restore(&mut self) {
        let chosen = self.random.below(self.backups.len());
        // What was made after it is of a life that the log has not had.
        self.backups.truncate(chosen + 1);
        let backup = self.backups[chosen].clone();
        self.nodes.iter_mut().for_each(Node::crash);
        // What was asked for before may still land: a request that was on its way.
        if self.random.once_in(2) {
            self.log.pending.clear();
        }
        if self.log.restore(backup) > 0 {
            self.note(Fault::LogRestored);
        }
    }

    /// The log loses its tail while every node is paused; each finds out when it goes on.
    fn lose_tail(&mut self) {
        let most = 1 + self.random.below(12);
        if self.log.lose_tail(most, &mut self.random) > 0 {
            self.note(Fault::TailLost);
        }
    }
}
