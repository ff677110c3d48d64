//! Clients of the service, and what they know of the customers: what they wrote and were told is what they must hear.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fleet_tests::client::{Client, customer};
use futures_util::future::{join, join_all};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, watch};

/// Several clients, and the instances of the service that they ask in turn.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// Held by each request: an instance that is taken down has answered what it was asked.
    instances: RwLock<Vec<Client>>,
    turn: AtomicUsize,
    people: Mutex<Vec<Arc<Person>>>,
    answered: watch::Sender<u64>,
}

/// A customer, as their client knows them.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    name: Value,
    email: Value,
    /// All that they ever had, in order; the last is what they have. Whoever asks for them holds it meanwhile.
    phones: tokio::sync::Mutex<Vec<Value>>,
}

impl Traffic {
    pub(crate) fn to(instance: Client) -> Arc<Self> {
        Arc::new(Self {
            instances: RwLock::new(vec![instance]),
            turn: AtomicUsize::new(0),
            people: Mutex::default(),
            answered: watch::Sender::new(0),
        })
    }

    /// Does something while the clients go on asking. A request that fails fails the test.
    pub(crate) async fn alongside<T>(&self, work: impl Future<Output = T>) -> T {
        let over = Cell::new(false);
        let clients = join_all((0..CLIENTS).map(|n| self.client(n, &over)));
        let work = async {
            let done = work.await;
            over.set(true);
            done
        };
        join(work, clients).await.0
    }

    /// From now on these instances are asked, and no other.
    pub(crate) async fn deploy(&self, instances: &[&Client]) {
        *self.instances.write().await = instances.iter().map(|&instance| instance.clone()).collect();
    }

    /// Does something while no request is under way.
    pub(crate) async fn between(&self, act: impl FnOnce()) {
        let _nobody = self.instances.write().await;
        act();
    }

    /// Until the clients were answered so many times more.
    pub(crate) async fn more(&self, answers: u64) {
        let enough = self.answered() + answers;
        self.answered.subscribe().wait_for(|answered| *answered >= enough).await.unwrap();
    }

    /// How many requests were answered.
    pub(crate) fn answered(&self) -> u64 {
        *self.answered.borrow()
    }

    pub(crate) fn people(&self) -> Vec<Arc<Person>> {
        self.people.lock().unwrap().clone()
    }

    pub(crate) fn person(&self, id: &str) -> Option<Arc<Person>> {
        self.people.lock().unwrap().iter().find(|person| person.id == id).cloned()
    }

    /// New customers, several at a time.
    pub(crate) async fn create_all(&self, count: usize) {
        join_all((0..CLIENTS).map(async |n| {
            for _ in (n..count).step_by(CLIENTS) {
                self.create().await;
            }
        }))
        .await;
    }

    /// Everybody is as their client knows them.
    pub(crate) async fn check_all(&self) {
        for person in self.people() {
            self.read(&person).await;
        }
    }

    /// Asks for one thing after another. No two clients do the same, and each does the same in every run.
    async fn client(&self, n: usize, over: &Cell<bool>) {
        let mut chance = n;
        for step in n.. {
            if over.get() {
                return;
            }
            chance = chance.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
            let person = {
                let people = self.people.lock().unwrap();
                Arc::clone(&people[(chance >> 8) % people.len()])
            };
            match step % 16 {
                0 => self.create().await,
                4 | 12 => self.list().await,
                8 => self.read_email(&person).await,
                even if even % 2 == 0 => self.read(&person).await,
                _ => self.change(&person).await,
            }
        }
    }

    async fn create(&self) {
        let n = self.turn.load(Ordering::Relaxed);
        let new = customer(n);
        let id = self.instance().await.create(&new).await;
        self.count_answer();
        let phones = tokio::sync::Mutex::new(vec![new["phone"].clone()]);
        let person = Person { id, name: new["name"].clone(), email: new["email"].clone(), phones };
        self.people.lock().unwrap().push(Arc::new(person));
    }

    async fn read(&self, person: &Person) {
        let phones = person.phones.lock().await;
        self.look(person, phones.last().unwrap()).await;
    }

    async fn look(&self, person: &Person, phone: &Value) {
        let read = self.instance().await.read(&person.id).await;
        self.count_answer();
        assert_eq!(read, json!({ "name": person.name, "email": person.email, "phone": phone }));
    }

    async fn read_email(&self, person: &Person) {
        let email = self.instance().await.email(&person.id).await;
        self.count_answer();
        assert_eq!(email, json!({ "email": person.email }));
    }

    async fn list(&self) {
        let listed = self.instance().await.list().await;
        self.count_answer();
        assert_eq!(listed.len(), 50);
        let people = self.people();
        let names: HashMap<&str, &Value> = people.iter().map(|person| (person.id.as_str(), &person.name)).collect();
        for row in &listed {
            // Who is being created is known when the answer is there.
            assert!(names.get(row.id.as_str()).is_none_or(|name| **name == row.name), "another's name");
        }
    }

    /// Gives a customer another phone. A conflict is looked into, and tried again: somebody was in between.
    pub(crate) async fn change(&self, person: &Person) {
        let mut phones = person.phones.lock().await;
        let to = json!(format!("{}-{}", person.id, phones.len()));
        for _ in 0..16 {
            let from = phones.last().unwrap();
            let status = self.instance().await.change_phone(&person.id, from, &to).await;
            self.count_answer();
            if status == StatusCode::NO_CONTENT {
                phones.push(to);
                return;
            }
            assert_eq!(status, StatusCode::CONFLICT);
            self.look(person, from).await;
        }
        panic!("a change was refused again and again");
    }

    async fn instance(&self) -> RwLockReadGuard<'_, Client> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        RwLockReadGuard::map(self.instances.read().await, |instances| &instances[turn % instances.len()])
    }

    fn count_answer(&self) {
        self.answered.send_modify(|answered| *answered += 1);
    }
}

impl Person {
    /// How many phones they had so far.
    pub(crate) async fn phones_so_far(&self) -> usize {
        self.phones.lock().await.len()
    }

    /// Whether these are their fields, with the phone that they had when they had had so many, or a later one.
    pub(crate) async fn had_since(&self, fields: &Value, so_far: usize) -> bool {
        let phones = self.phones.lock().await;
        let fits = |phone| *fields == json!({ "name": self.name, "email": self.email, "phone": phone });
        phones[so_far - 1..].iter().any(fits)
    }
}

const CLIENTS: usize = 6;
